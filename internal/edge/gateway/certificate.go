package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often the files of a certificate are looked at, at most, and
// only when somebody connects.
const lookEvery = 10 * time.Second

// Certificate is one of two PEM files, which are read again when they change.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	now     *tls.Certificate
	changed [2]time.Time // of the files, when they were read
	looked  time.Time
}

// OpenCertificate reads a certificate and its key.
func OpenCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// Get is for [Config.Certificate]. Files that are wrong leave the last good
// certificate in use.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.looked) >= lookEvery {
		c.looked = now
		if err := c.read(); err != nil {
			c.log.Warn("the certificate cannot be read again, the last one stays in use", "err", err)
		}
	}
	return c.now, nil
}

// read reads the files if they have changed.
func (c *Certificate) read() error {
	var changed [2]time.Time
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		changed[i] = info.ModTime()
	}
	if c.now != nil && changed == c.changed {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", c.certFile, c.keyFile, err)
	}
	c.now, c.changed = &pair, changed
	return nil
}
