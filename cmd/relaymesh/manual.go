package main

import (
	"fmt"
	"regexp"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"

	"github.com/relaymesh/relaymesh/internal/run"
)

var today = regexp.MustCompile(`(?m)^(\.TH \S+ 1 )"[-0-9]+"`)

type manCmd struct{}

// Run prints the manual page, made from the same structs as the help.
func (manCmd) Run(ctx *kong.Context, o *output) error {
	page := mangokong.NewManPage(1, ctx.Model).WithSection("Exit status", run.ExitHelp)
	// Without today's date: the same commit makes the same page.
	_, err := fmt.Fprint(o.out, today.ReplaceAllString(page.Build(roff.NewDocument()), `${1}""`))
	return err
}
