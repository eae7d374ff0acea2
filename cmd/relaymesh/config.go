package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
)

type configCmd struct {
	upFlags
	JSON bool `help:"Print one JSON object."`
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
	var settings []setting
	for _, flag := range ctx.Flags() {
		if !config.Configurable(flag) {
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
