package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// profile takes a CPU profile of a target for the time of a load, when that is
// asked for and the target has profiles. The channel gives how it went.
func profile(ctx context.Context, opts options, t *target, name string) <-chan error {
	done := make(chan error, 1)
	if opts.profiles == "" || t.admin == "" {
		done <- nil
		return done
	}
	go func() { done <- fetchProfile(ctx, opts, t, name) }()
	return done
}

func fetchProfile(ctx context.Context, opts options, t *target, name string) error {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%.0f", t.admin, opts.duration.Seconds())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	if err := os.MkdirAll(opts.profiles, 0o755); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	f, err := os.Create(filepath.Join(opts.profiles, name+".pb.gz"))
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(f, resp.Body); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return f.Close()
}
