package config

import (
	"reflect"
	"slices"
	"testing"

	"github.com/alecthomas/kong"
)

// Every field that names an environment variable is a flag: kong drops all fields whose name is also that of one which it is told
// to ignore, however deep they lie.
func TestEveryFieldIsAFlag(t *testing.T) {
	var worker struct{ Config }
	var gateway struct{ Gateway }
	var index struct{ ServeIndex }
	for _, of := range []any{&worker, &gateway, &index} {
		var flags []string
		for _, flag := range kong.Must(of).Model.Flags {
			flags = append(flags, flag.Envs...)
		}
		named := variables(reflect.TypeOf(of).Elem())
		if len(named) == 0 {
			t.Errorf("%T has no variables", of)
		}
		for _, variable := range named {
			if !slices.Contains(flags, variable) {
				t.Errorf("no flag has the environment variable %s", variable)
			}
		}
	}
}

func variables(of reflect.Type) (list []string) {
	for i := range of.NumField() {
		field := of.Field(i)
		if env := field.Tag.Get("env"); env != "" {
			list = append(list, env)
		} else if field.Type.Kind() == reflect.Struct {
			list = append(list, variables(field.Type)...)
		}
	}
	return list
}
