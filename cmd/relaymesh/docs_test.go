package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/run"
)

var (
	shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")
	inlineFlag = regexp.MustCompile("`--([a-z0-9-]+)[^`]*`")
	shellWord  = regexp.MustCompile(`'[^']*'|\S+`)
)

// documentation lists its pages.
func documentation(t *testing.T) []string {
	t.Helper()
	pages := []string{"../../README.md"}
	for _, pattern := range []string{"../../docs/*.md", "../../docs/relays/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no pages: %v", pattern, err)
		}
		pages = append(pages, found...)
	}
	return pages
}

// The commands that the documentation shows are ones that can be given: no
// flag is misspelt or gone. make test-docs runs them.
func TestCommandsInTheDocumentationExist(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, page := range documentation(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(line, "#")
				for part := range strings.SplitSeq(line, " | ") {
					part, _, _ = strings.Cut(part, " > ")
					part = strings.TrimSuffix(strings.TrimSpace(part), " &")
					words := shellWord.FindAllString(part, -1)
					if len(words) == 0 {
						continue
					}
					for i := range words {
						words[i] = strings.Trim(words[i], "'")
						if i > 0 && words[i-1] == "--config" {
							words[i] = os.DevNull // the file is not here
						}
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

// A flag that a sentence names is one of some command.
func TestFlagsInTheDocumentationExist(t *testing.T) {
	t.Parallel()
	flags := map[string]bool{"help": true}
	visit := func(app *kong.Application) {
		_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
			if flag, ok := node.(*kong.Flag); ok {
				flags[flag.Name] = true
			}
			return next(nil)
		})
	}
	visit(kong.Must(&cli{}, kong.Vars{"version": ""}).Model)
	visit(kong.Must(&struct{ config.Config }{}, run.Sources()...).Model)
	named := 0
	for _, page := range documentation(t) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range inlineFlag.FindAllSubmatch(text, -1) {
			named++
			if !flags[string(found[1])] {
				t.Errorf("%s: no command has --%s", page, found[1])
			}
		}
	}
	if named < 40 {
		t.Errorf("found only %d flags", named)
	}
}

// parse reads a command line of one of our binaries without running it.
func parse(binary string, args []string) (known bool, err error) {
	var parser *kong.Kong
	switch binary {
	case "relaymesh":
		parser, err = kong.New(&cli{}, kong.Vars{"version": ""}, kong.Configuration(config.Load))
	case contract.StageDHTWorker, contract.StageSyncWorker, contract.StageFetcher, contract.StageIngest:
		var worker struct {
			config.Config

			Commands []string `arg:"" optional:"" passthrough:"partial"` // those of ingest have tests of their own
		}
		parser, err = kong.New(&worker, kong.Configuration(config.Load))
	default:
		return false, nil
	}
	if err == nil {
		_, err = parser.Parse(args)
	}
	return true, err
}
