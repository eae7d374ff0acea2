package config

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v4"
)

// Load reads a config file: YAML whose keys are the long flag names. It is a
// kong configuration loader; unlike kong's own resolvers it lets the
// environment win over the file and refuses keys that are no flag.
func Load(r io.Reader) (kong.Resolver, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	values, err := decode(data)
	return file(values), err
}

// decode reads YAML, with a byte order mark or without, in block or flow style.
func decode(data []byte) (map[string]any, error) {
	var document yaml.Node
	values := map[string]any{}
	err := yaml.Unmarshal(bytes.TrimPrefix(data, []byte("\ufeff")), &document)
	if err == nil && document.Kind != 0 { // else there is nothing but comments
		asWritten(&document)
		err = document.Decode(&values)
	}
	if err != nil {
		return nil, fmt.Errorf("config file: %w", err)
	}
	return values, nil
}

// asWritten has dates stay the text that they are.
func asWritten(n *yaml.Node) {
	if n.Tag == "!!timestamp" {
		n.Tag = "!!str"
	}
	for _, child := range n.Content {
		asWritten(child)
	}
}

type file map[string]any

// Resolve answers for a flag that the command line does not set.
func (f file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil //nolint:nilnil // kong's way to say that another source decides
		}
	}
	value := f[flag.Name]
	if value == nil { // missing, or a key without a value
		return nil, nil //nolint:nilnil // as above
	}
	if list, ok := value.([]any); ok {
		parts := make([]string, len(list))
		for i, v := range list {
			parts[i] = fmt.Sprint(v)
		}
		return strings.Join(parts, ","), nil
	}
	return fmt.Sprint(value), nil
}

// Validate refuses keys that are no flag of a command which reads the file,
// with the nearest one that is.
func (f file) Validate(app *kong.Application) error {
	var known []string
	err := kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		var flags []*kong.Flag
		switch node := node.(type) {
		case *kong.Application:
			flags = node.Flags
		case *kong.Command:
			flags = node.Flags
		}
		if slices.ContainsFunc(flags, func(flag *kong.Flag) bool { return flag.Name == fileFlag }) {
			for _, flag := range flags {
				if Configurable(flag) {
					known = append(known, flag.Name)
				}
			}
		}
		return next(nil)
	})
	if err != nil {
		return err
	}
	known = append(known, streamsKey)
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("config file: unknown key %q; did you mean %q?", key, nearest(key, known))
		}
	}
	// Whether private addresses are allowed is known later, when they are used.
	_, err = parseStreams(f[streamsKey], true)
	return err
}

// fileFlag names the config file itself.
const fileFlag = "config"

// Configurable reports whether a flag may stand in the config file: all may
// that the environment can set, too.
func Configurable(flag *kong.Flag) bool { return len(flag.Envs) > 0 && flag.Name != fileFlag }

// Where a value comes from.
const (
	FromFlag    = "flag"
	FromEnv     = "environment"
	FromFile    = "file"
	FromDefault = "default"
)

// Origin tells where the value of a flag comes from.
func Origin(ctx *kong.Context, flag *kong.Flag) string {
	origin := FromDefault
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			origin = FromEnv
		}
	}
	for _, step := range ctx.Path {
		switch {
		case step.Flag != flag:
		case !step.Resolved:
			return FromFlag
		default:
			origin = FromFile
		}
	}
	return origin
}

// distance is the Levenshtein distance of two short words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
