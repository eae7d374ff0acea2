package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Validate refuses a secret where the name of a file is wanted, and a domain or a prefix
// that is no token of a subject; kong calls it after parsing.
func (a NATSAuth) Validate() error {
	var domain error
	if strings.ContainsAny(a.NATSDomain, ".*> \t") {
		domain = errors.New("--nats-domain: a name without dots, spaces, * and >, as in the server's configuration (jetstream { domain: NAME })")
	}
	return errors.Join(namesFile("--nats-creds", a.NATSCreds), namesFile("--nats-key", a.NATSKey), domain, CheckPrefix(a.NATSPrefix))
}

// CheckPrefix says why a prefix cannot be one.
func CheckPrefix(p contract.Prefix) error {
	if err := p.Check(); err != nil {
		return fmt.Errorf("--nats-prefix: %w", err)
	}
	return nil
}

// namesFile refuses what is a secret itself, without repeating it: as a name of a
// file it would reach logs, and a file would be made by that name.
func namesFile(flag, path string) error {
	for _, prefix := range []string{"nsec1", "SU", "-----BEGIN"} {
		if strings.HasPrefix(path, prefix) && len(path) > 50 {
			return fmt.Errorf("%s: this is a secret, and not the name of a file that holds it; it may stand in your shell's history now", flag)
		}
	}
	return nil
}
