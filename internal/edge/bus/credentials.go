package bus

import (
	"bytes"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// Credentials returns the options that tell a server who we are: creds names a
// file with an nkey seed or a JWT and seed (.creds), ca one with the PEM
// certificates that must have signed the server's. Either may be empty.
func Credentials(creds, ca string) ([]nats.Option, error) {
	var opts []nats.Option
	if creds != "" {
		text, err := os.ReadFile(creds)
		if err != nil {
			return nil, fmt.Errorf("--nats-creds: %w", err)
		}
		opt := nats.UserCredentials(creds)
		if !bytes.Contains(text, []byte("BEGIN NATS USER JWT")) {
			if opt, err = nats.NkeyOptionFromSeed(creds); err != nil {
				return nil, fmt.Errorf("--nats-creds: %s holds neither an nkey seed of a user nor a .creds file: %w", creds, err)
			}
		}
		opts = append(opts, opt)
	}
	if ca != "" {
		if _, err := os.Stat(ca); err != nil {
			return nil, fmt.Errorf("--nats-ca: %w", err)
		}
		opts = append(opts, nats.RootCAs(ca))
	}
	return opts, nil
}
