package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/pkg/events"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	shellWord  = regexp.MustCompile(`'[^']*'|\S+`)
)

// The commands that the documentation shows are ones that can be given: no
// flag is misspelt or gone. That they do what they say is for other tests.
func TestCommandsInTheDocumentationExist(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	relays, err := filepath.Glob("../../docs/relays/*.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, page := range append(append(pages, relays...), "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(line, "#")
				for part := range strings.SplitSeq(line, " | ") {
					part, _, _ = strings.Cut(part, " > ")
					words := shellWord.FindAllString(part, -1)
					if len(words) == 0 {
						continue
					}
					for i := range words {
						words[i] = strings.Trim(words[i], "'")
					}
					known, err := parse(filepath.Base(words[0]), words[1:])
					if err != nil {
						t.Errorf("%s: %s: %v", page, strings.TrimSpace(part), err)
					}
					if known {
						commands++
					}
				}
			}
		}
	}
	if commands < 15 {
		t.Errorf("found only %d commands", commands)
	}
}

// parse reads a command line of one of our binaries without running it.
func parse(binary string, args []string) (known bool, err error) {
	var parser *kong.Kong
	switch binary {
	case "relaymesh":
		parser, err = kong.New(&cli{}, kong.Vars{"version": ""})
	case events.StageDHTWorker, events.StageSyncWorker, events.StageFetcher, events.StageIngest:
		var worker struct {
			config.Config

			Commands []string `arg:"" optional:"" passthrough:"partial"` // those of ingest have tests of their own
		}
		parser, err = kong.New(&worker)
	default:
		return false, nil
	}
	if err == nil {
		_, err = parser.Parse(args)
	}
	return true, err
}
