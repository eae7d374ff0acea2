package main

import (
	"fmt"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"

	"github.com/relaymesh/relaymesh/internal/run"
)

type manCmd struct{}

// Run prints the manual page, made from the same structs as the help.
func (manCmd) Run(ctx *kong.Context, o *output) error {
	page := mangokong.NewManPage(1, ctx.Model).WithSection("Exit status", run.ExitHelp)
	_, err := fmt.Fprint(o.out, page.Build(roff.NewDocument()))
	return err
}
