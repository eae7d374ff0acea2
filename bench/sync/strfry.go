package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// strfryConfig gives strfry a database of its own, and lets it take old events.
const strfryConfig = `db = "%s/"
events { rejectEventsOlderThanSeconds = 9999999999 }
`

// theirsInC syncs a set in strfry's database with a relay. Filling the database
// does not count.
func (b *bench) theirsInC() (c cost, err error) {
	dir, err := os.MkdirTemp("", "bench-strfry-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "strfry.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, strfryConfig, dir), 0o600); err != nil {
		return c, err
	}
	list, err := set("a", b.common, b.own)
	if err != nil {
		return c, err
	}
	var lines bytes.Buffer
	for _, e := range list {
		if err := json.NewEncoder(&lines).Encode(e); err != nil {
			return c, err
		}
	}
	fill := exec.Command(b.strfry, "--config="+config, "import", "--no-verify")
	fill.Stdin = &lines
	if out, err := fill.CombinedOutput(); err != nil {
		return c, fmt.Errorf("strfry import: %w\n%s", err, out)
	}
	addr, stopped, err := b.relay("b", b.common)
	if err != nil {
		return c, err
	}
	defer stopped()
	p, err := startProxy(addr)
	if err != nil {
		return c, err
	}
	cmd := exec.Command(b.strfry, "--config="+config, "sync", "ws://"+p.addr, "--dir=both")
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return c, fmt.Errorf("strfry sync: %w\n%s", err, out)
	}
	return cost{time.Since(begun), peak(cmd), p.bytes.Load()}, nil
}
