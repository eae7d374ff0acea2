package k8s_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"sigs.k8s.io/yaml"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// With the keys of the script and the values of the chart a real NATS server lets in
// whom it should, by TLS, and is provisioned. It builds three programs, which takes
// minutes, so make test-k8s runs it.
func TestKeysFitNATS(t *testing.T) {
	if os.Getenv("RELAYMESH_KUBERNETES") == "" {
		t.Skip("it builds programs, for make test-k8s")
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin") + "/"
	run(t, nil, "go", "build", "-C", "../..", "-o", bin, "github.com/relaymesh/relaymesh/cmd/relaymesh", "github.com/nats-io/nkeys/nk",
		"github.com/nats-io/nats-server/v2") // of the main module: go.sum here lists a part of what it needs
	path := []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	keys := filepath.Join(dir, "keys")
	run(t, path, "nats/keys.sh", keys)
	first := read(t, filepath.Join(keys, "secrets.yaml"))
	run(t, path, "nats/keys.sh", keys)
	if !bytes.Equal(first, read(t, filepath.Join(keys, "secrets.yaml"))) {
		t.Error("run again, the script makes other keys")
	}
	secrets(t, dir, first)

	port := freePort(t)
	write(t, filepath.Join(dir, "nats-config", "nats.conf"), natsConf(t, dir, port))
	server := exec.Command(bin+"nats-server", "--config", filepath.Join(dir, "nats-config", "nats.conf"))
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()

	url, ca := "tls://localhost:"+port, filepath.Join(dir, "nats-operator", "ca.crt")
	for _, user := range append(contract.Stages(), "console", "gateway", "operator") {
		if err := login(url, filepath.Join(dir, "nats-"+user, "ca.crt"), filepath.Join(dir, "nats-"+user, "seed")); err != nil {
			t.Fatalf("%s cannot log in: %v\n%s", user, err, &log)
		}
	}
	if err := login(url, ca, filepath.Join(keys, "relay.nk")); err != nil {
		t.Errorf("a relay cannot log in: %v", err)
	}
	provision := []string{"provision", "--nats", url, "--nats-creds", filepath.Join(dir, "nats-operator", "seed")}
	if out, err := exec.CommandContext(t.Context(), bin+"relaymesh", provision...).CombinedOutput(); err == nil {
		t.Errorf("a server whose authority is not known is trusted:\n%s", out)
	}
	run(t, nil, bin+"relaymesh", append(provision, "--nats-ca", ca)...)
}

// natsConf is what the chart makes of the values for one node.
func natsConf(t *testing.T, dir, port string) string {
	t.Helper()
	var values object
	if err := yaml.Unmarshal(read(t, "nats/values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	config := at(values, "config")
	if at(config, "nats", "tls", "enabled") != true || text(config, "nats", "tls", "secretName") != "nats-tls" {
		t.Errorf("the server has no TLS by the script's secret: %v", at(config, "nats"))
	}
	mount := at(values, "container", "patch", 0, "value")
	volume := at(values, "podTemplate", "patch", 0, "value")
	if text(mount, "mountPath") != "/etc/nats-accounts" || text(volume, "secret", "secretName") != "nats-accounts" {
		t.Errorf("the accounts are not at /etc/nats-accounts: %v, %v", mount, volume)
	}
	return fmt.Sprintf("listen: 127.0.0.1:%s\ninclude %s\njetstream { store_dir: %q, max_file_store: %s }\ntls { cert_file: %q, key_file: %q }\n",
		port, text(config, "merge", "00$include"), filepath.Join(dir, "data"), text(config, "jetstream", "fileStore", "maxSize"),
		filepath.Join(dir, "nats-tls", "tls.crt"), filepath.Join(dir, "nats-tls", "tls.key"))
}

// secrets writes each secret as the directory that a pod mounts.
func secrets(t *testing.T, dir string, list []byte) {
	t.Helper()
	for doc := range strings.SplitSeq(string(list), "---\n") {
		var secret object
		if err := yaml.Unmarshal([]byte(doc), &secret); err != nil {
			t.Fatal(err)
		}
		data, _ := at(secret, "data").(object)
		for key, value := range data {
			plain, err := base64.StdEncoding.DecodeString(value.(string))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, text(secret, "metadata", "name"), key), string(plain))
		}
	}
}

// login tries a user's seed until the server is there.
func login(url, ca, seed string) (err error) {
	key, err := nats.NkeyOptionFromSeed(seed)
	if err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var nc *nats.Conn
		if nc, err = nats.Connect(url, nats.RootCAs(ca), key); err == nil {
			nc.Close()
			return nil
		}
	}
	return err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
