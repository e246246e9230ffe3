// Package enginetest is the conformance suite of the seam engine.Engine. Every
// kind of engine runs it, for both signals, on the real programs.
//
// It knows an engine only through its interface, and sees what a user of the
// engine's API would see. It must not import the engines' own code.
package enginetest
