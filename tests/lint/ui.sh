#!/bin/sh
# Holds the dashboard to its rules: no markup is made out of strings, no style or handler stands
# in the markup (the policy would refuse it), nothing is loaded from elsewhere, and all of it is
# small: what stands in src/ui is what runs, so that who reads it in a browser reads the source, with
# its comments. 124 KiB, uncompressed, are a second at 1 Mbit/s, and with ETags but once.
# usage: ui.sh [ROOT]
set -eu
cd "${1:-$(dirname "$0")/../..}"
most=126976 # bytes of all files together
bad=0

# refuse WHY PATTERN FILE…: shows the lines that have the pattern.
refuse() {
	why=$1
	shift
	if found=$(grep -nE -- "$@"); then
		printf '%s\n' "$found" | sed "s/\$/  <- $why/"
		bad=1
	fi
}

refuse 'makes markup out of a string' \
	'innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc' \
	src/ui/*.js
refuse 'runs a string' '\beval\(|new Function|setTimeout\("|javascript:' src/ui/*.js
refuse 'the policy refuses it inline' '<script[^>]*>[^<]|<style| style=| on[a-z]+=' src/ui/*.html
refuse 'loads from elsewhere' '(src|href|import|from|url\()[ =("]*(https?:)?//' src/ui/*
size=$(cat src/ui/* | wc -c)
if [ "$size" -gt $most ]; then
	echo "src/ui has $size bytes, at most $most"
	bad=1
fi
[ $bad -eq 0 ] || exit 1
