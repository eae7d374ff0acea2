package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// writeCertificate writes a certificate with that serial number, and its key, dated
// at a time.
func writeCertificate(t *testing.T, cert, key string, serial int64, at time.Time) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	secretDER, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secretDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

// Clients reach the gateway by TLS, and see the new certificate once its files have
// changed; files that are wrong leave the last one in use.
func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	begun := time.Now().Add(-time.Hour)
	writeCertificate(t, cert, key, 1, begun)
	c, err := OpenCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	relay := scripted(t, func(p *peer, _ *http.Request) { p.ended() })
	g := start(t, relay, Config{Certificate: c.Get})
	shown := func() int64 {
		t.Helper()
		c.mu.Lock()
		c.looked = time.Time{}
		c.mu.Unlock()
		var serial int64
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // it is looked at here
			VerifyConnection: func(s tls.ConnectionState) error {
				serial = s.PeerCertificates[0].SerialNumber.Int64()
				return nil
			},
		}}}
		ws, _, err := websocket.Dial(t.Context(), g.URL(), &websocket.DialOptions{HTTPClient: client}) //nolint:bodyclose // read
		if err != nil {
			t.Fatal(err)
		}
		ws.CloseNow()
		return serial
	}
	if got := shown(); got != 1 {
		t.Errorf("the certificate is number %d", got)
	}
	writeCertificate(t, cert, key, 2, begun.Add(time.Minute))
	if got := shown(); got != 2 {
		t.Errorf("after a change the certificate is number %d", got)
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != 2 {
		t.Errorf("with half a key the certificate is number %d", got)
	}
	if _, err := OpenCertificate(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("half a key was taken")
	}
}
