package config

import (
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/relaymesh/relaymesh/internal/ownfile"
)

// envPrefix begins the names of all environment variables that are flags.
const envPrefix = "RELAYMESH_"

// UnsetEmpty unsets the environment variables of flags that are empty: templates of
// supervisors leave them so where nothing is meant. It is called before flags are parsed.
func UnsetEmpty() {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, envPrefix) && strings.TrimSpace(value) == "" {
			_ = os.Unsetenv(name) // it can be, since it is set
		}
	}
}

// secretFlags name files that hold secrets.
var secretFlags = map[string]bool{
	"nsec-file": true, "nats-creds": true, "nats-key": true, "p2p-key-file": true, "console-token-file": true,
}

// ExposedSecrets says of each file of secrets that the flags of a command name, and
// that every user of the machine can read, what to do.
func ExposedSecrets(ctx *kong.Context) (warnings []string) {
	for _, flag := range ctx.Flags() {
		path, _ := flag.Target.Interface().(string)
		if secretFlags[flag.Name] && path != "" && ownfile.OthersCanRead(path) {
			warnings = append(warnings, "--"+flag.Name+": every user of this machine can read the secret in "+path+"; run chmod go= "+path)
		}
	}
	return warnings
}
