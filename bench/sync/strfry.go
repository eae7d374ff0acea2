package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// strfryConfig gives strfry a database of its own, lets it take old events, and
// leaves the limit of open files as it is, which may be lower than it wants.
const strfryConfig = `db = "%s/"
events { rejectEventsOlderThanSeconds = 9999999999 }
relay { nofiles = 0 }
`

// theirsInC syncs a set in strfry's database with a relay. Filling the database
// does not count.
func (b *bench) theirsInC(dir string, compressing bool) (c cost, err error) {
	db, err := os.MkdirTemp("", "bench-strfry-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(db)
	config := filepath.Join(db, "strfry.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, strfryConfig, db), 0o600); err != nil {
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
	p, err := startProxy(addr, compressing)
	if err != nil {
		return c, err
	}
	cmd := exec.Command(b.strfry, "--config="+config, "sync", "ws://"+p.addr, "--dir="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if c, err = costOf(cmd); err != nil {
		return c, fmt.Errorf("strfry sync: %w\n%s", err, out.String())
	}
	c.bytes = p.bytes.Load()
	return c, nil
}
