package bus

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// Auth names the files by which a server knows us, and we know it; each may be
// empty. They are read again with every connection, so that they may be
// replaced while a process runs.
type Auth struct {
	Creds     string // an nkey seed, or a JWT and seed (.creds)
	CA        string // PEM certificates that must have signed the server's
	Cert, Key string // PEM certificate of our own and its key, for mutual TLS
}

// Options checks the files and returns the options of a connection. Errors name
// the flag and the file and never what is in it.
func (a Auth) Options() (opts []nats.Option, err error) {
	if a.Creds != "" {
		opt, err := credentials(a.Creds)
		if err != nil {
			return nil, fmt.Errorf("--nats-creds: %w", err)
		}
		opts = append(opts, opt)
	}
	if a.CA != "" {
		text, err := os.ReadFile(a.CA)
		if err != nil {
			return nil, fmt.Errorf("--nats-ca: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--nats-ca: %s holds no certificate in PEM form", a.CA)
		}
		opts = append(opts, nats.RootCAs(a.CA))
	}
	switch {
	case (a.Cert == "") != (a.Key == ""):
		return nil, errors.New("--nats-cert, --nats-key: one is of no use without the other")
	case a.Cert != "":
		if _, err := tls.LoadX509KeyPair(a.Cert, a.Key); err != nil {
			return nil, fmt.Errorf("--nats-cert, --nats-key: %s, %s: %w", a.Cert, a.Key, err)
		}
		opts = append(opts, nats.ClientCert(a.Cert, a.Key))
	}
	return opts, nil
}

func credentials(path string) (nats.Option, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("BEGIN NATS USER JWT")) {
		return nats.UserCredentials(path), nil
	}
	opt, err := nats.NkeyOptionFromSeed(path)
	if err != nil {
		return nil, fmt.Errorf("%s holds neither an nkey seed of a user nor a .creds file: %w", path, err)
	}
	return opt, nil
}
