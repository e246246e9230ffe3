#!/bin/sh
# Installs the restate-server that package-lock.json pins and prints the path of
# its binary, the only thing on stdout.
#
# usage: install.sh [DIR]     DIR defaults to .cache/restate of this repository
#
# An install is kept under DIR by the lock file's checksum, so a second run does
# nothing, and runs at the same time don't disturb each other.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
cache=${1:-$root/.cache/restate}

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) fail "restate-server has no npm package for $(uname -s)" ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=x64 ;;
aarch64 | arm64) arch=arm64 ;;
*) fail "restate-server has no npm package for $(uname -m)" ;;
esac

dir=$cache/$(cksum <"$here/package-lock.json" | tr ' ' '-')
binary=node_modules/@restatedev/restate-server-$os-$arch/bin/restate-server

if [ ! -x "$dir/$binary" ]; then
	command -v npm >/dev/null 2>&1 ||
		fail "npm is missing: install Node.js 20 or newer (Debian, Ubuntu: apt-get install nodejs npm)"

	mkdir -p "$cache"
	new=$(mktemp -d "$cache/new.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cp "$here/package.json" "$here/package-lock.json" "$new/"

	# No package script has to run: the binary lies ready in a platform's package.
	npm ci --prefix "$new" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
		fail "npm ci failed"
	[ -x "$new/$binary" ] || fail "npm ci left no $binary"

	# rename(2) fails, where mv would nest, when another run was first.
	node -e 'require("fs").renameSync(...process.argv.slice(1))' "$new" "$dir" 2>/dev/null || true
	[ -x "$dir/$binary" ] || fail "can't move the install to $dir"
fi

cd "$dir" && echo "$PWD/$binary"
