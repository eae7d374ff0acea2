package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/run"
)

type configCmd struct {
	upFlags
	JSON      bool `help:"Print one JSON object."`
	Commented bool `help:"Print a whole file: every key with what it means, its default and where its value comes from. What is not set is a comment."`
}

// Help is the long help text.
func (*configCmd) Help() string {
	return "A flag beats the environment, which beats the file of --config, which beats the default. The output is such a file."
}

// setting is one value of what the command prints; its fields are stable.
type setting struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
	From  string `json:"from"` // flag, environment, file or default
	Env   string `json:"environment"`
}

// Run prints the configuration, passwords left out.
func (c *configCmd) Run(ctx *kong.Context, o *output) error {
	if _, err := c.ownURL(); err != nil { // which it would show as it is
		return err
	}
	var settings []setting
	for _, flag := range ctx.Flags() {
		if !config.Configurable(flag) || run.OtherBuild(flag.Name) {
			continue
		}
		value := flag.Target.Interface()
		switch v := value.(type) {
		case fmt.Stringer: // a duration
			value = v.String()
		case []string:
			value = append([]string{}, v...) // null is no list
		case []int:
			value = append([]int{}, v...)
		}
		if flag.Name == "nats" {
			value = bus.Redact(c.NATS)
		}
		settings = append(settings, setting{flag.Name, value, config.Origin(ctx, flag), flag.Envs[0]})
	}
	if c.JSON {
		return o.json(struct {
			Settings []setting `json:"settings"`
		}{settings})
	}
	if c.Commented {
		return c.comment(ctx, settings, o)
	}
	for _, s := range settings {
		switch v := reflect.ValueOf(s.Value); {
		case (v.Kind() == reflect.String || v.Kind() == reflect.Slice) && v.Len() == 0:
			fmt.Fprintf(o.out, "# %s:  # not set\n", s.Key)
		default:
			fmt.Fprintf(o.out, "%s: %s  # %s\n", s.Key, yaml(s.Value), s.From)
		}
	}
	return nil
}

// comment prints the settings as a whole file.
func (c *configCmd) comment(ctx *kong.Context, settings []setting, o *output) error {
	flags := map[string]*kong.Flag{}
	for _, flag := range ctx.Flags() {
		flags[flag.Name] = flag
	}
	fmt.Fprintln(o.out, "# A flag beats the environment, which beats this file, which beats the default.")
	group := ""
	for _, s := range settings {
		flag := flags[s.Key]
		if g := flag.Group; g != nil && g.Key != group {
			group = g.Key
			fmt.Fprintf(o.out, "\n### %s\n", group)
		}
		fmt.Fprintln(o.out)
		for _, line := range wrap(flag.Help, commentWidth) {
			fmt.Fprintf(o.out, "# %s\n", line)
		}
		fmt.Fprintf(o.out, "# Default: %s. Environment: %s. This value is from: %s.\n", cmp.Or(flag.Default, "not set"), s.Env, s.From)
		off := ""
		if s.From == config.FromDefault {
			off = "# "
		}
		fmt.Fprintf(o.out, "%s%s: %s\n", off, s.Key, yaml(s.Value))
	}
	_, err := fmt.Fprint(o.out, streamsComment)
	return err
}

// commentWidth is how many characters a line of a comment has at most.
const commentWidth = 100

const streamsComment = `
### Streams: what is synced with some relays (docs/operating.md); read again when the file changes
#
# streams:
#   friends:
#     dir: both                 # down (the default), up or both
#     urls: [wss://relay.example.com]
#     filter: {kinds: [0, 1, 3, 10002]}
#     since: 720h
`

// wrap breaks a text into lines of at most so many characters.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// yaml writes a value on one line; JSON is YAML.
func yaml(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("config: %T does not encode: %v", v, err))
	}
	return bytes.TrimSpace(b.Bytes())
}
