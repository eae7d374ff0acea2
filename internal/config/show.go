package config

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// HelpText is a [kong.HelpValueFormatter] that says the default, where a placeholder
// stands in its place, and the environment variable.
func HelpText(v *kong.Value) string {
	text := v.Help
	if v.HasDefault && v.Default != "" && v.Flag != nil && v.Flag.PlaceHolder != "" && v.Flag.PlaceHolder != v.Default {
		text += fmt.Sprintf(" Default: %s.", v.Default)
	}
	if v.Flag != nil && len(v.Flag.Envs) > 0 {
		text += " ($" + strings.Join(v.Flag.Envs, ", $") + ")"
	}
	return text
}

// Hide leaves those flags out of help that are of no use. They are taken all the same:
// one config file serves several processes.
func Hide(app *kong.Application, useless func(command *kong.Node, flag *kong.Flag) bool) {
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error { // never fails
		var of *kong.Node
		switch node := node.(type) {
		case *kong.Application:
			of = node.Node
		case *kong.Command:
			of = node
		default:
			return next(nil)
		}
		for _, flag := range of.Flags {
			flag.Hidden = flag.Hidden || useless(of, flag)
		}
		return next(nil)
	})
}
