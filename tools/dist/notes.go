package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// notes writes what a changelog says of a version: below its heading, "## 1.2.3"
// and perhaps a date, or below "## Unreleased" before that heading is there.
func notes(w io.Writer, changelog, version string) error {
	for _, heading := range []string{version, "Unreleased"} {
		if body, ok := below(changelog, heading); ok {
			_, err := fmt.Fprintf(w, "# relaymesh %s\n\n%s\n", version, body)
			return err
		}
	}
	return errors.New("the changelog has a heading neither for " + version + " nor for what is unreleased")
}

func below(changelog, heading string) (body string, ok bool) {
	var lines []string
	for line := range strings.Lines(changelog) {
		words := strings.Fields(line)
		switch {
		case len(words) > 1 && words[0] == "##":
			if ok {
				return strings.TrimSpace(strings.Join(lines, "")), true
			}
			ok = strings.Trim(words[1], "[]") == heading
		case ok:
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, "")), ok
}
