package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

const (
	mirrorRelays = 5
	mirrorCommon = 8000 // events that all of a group have
	mirrorOwn    = 2000 // events of each alone
)

// mirror makes five relays equal, and prints the bytes on their links, both ways,
// beside those of the events that they lacked.
func (b *bench) mirror() error {
	cmd, addrs, err := b.child(mirrorRelays, "relay", "many", strconv.Itoa(mirrorCommon), strconv.Itoa(mirrorOwn), strconv.Itoa(mirrorRelays))
	if err != nil {
		return err
	}
	defer stop(cmd)
	var links []*proxy
	for _, addr := range addrs {
		p, err := startProxy(addr, false)
		if err != nil {
			return err
		}
		links = append(links, p)
	}
	lacked, err := mirrorLacked()
	if err != nil {
		return err
	}
	counted, _, err := b.group(links, "none") // each of the others is compared with the first once
	if err != nil {
		return err
	}
	moved, c, err := b.group(links, "both")
	if err != nil {
		return err
	}
	equal, _, err := b.group(links, "both")
	if err != nil {
		return err
	}
	fmt.Printf("%d relays of %d events, %d of them own, made equal: %s, %d KiB on all links, %d MiB of memory; the events that they lacked\n"+
		"are %d KiB, two comparisons of each with the middle %d KiB; once more, when they are equal: %d KiB\n",
		mirrorRelays, mirrorCommon+mirrorOwn, mirrorOwn, c.wall.Round(time.Millisecond), moved>>10, c.peak>>20,
		lacked>>10, 2*counted>>10, equal>>10)
	b.goal("bytes of a group, but for two comparisons a relay, beside what was lacked", float64(moved-2*counted)/float64(lacked), 1.35)
	return nil
}

// mirrorLacked is the size of the EVENT messages of all that relays of the group
// lack, in bytes.
func mirrorLacked() (bytes int64, err error) {
	for n := range mirrorRelays {
		own, err := set(fmt.Sprint("relay ", n), 0, mirrorOwn)
		if err != nil {
			return 0, err
		}
		for _, e := range own {
			text, err := json.Marshal([]any{"EVENT", e})
			if err != nil {
				return 0, err
			}
			bytes += int64((mirrorRelays - 1) * len(text))
		}
	}
	return bytes, nil
}

// group syncs all relays with each other, and returns the bytes on their links.
func (b *bench) group(links []*proxy, dir string) (moved int64, c cost, err error) {
	args := []string{"sync", "--json", "--dir", dir}
	for _, p := range links {
		moved -= p.bytes.Load()
		args = append(args, "ws://"+p.addr)
	}
	cmd := exec.Command(b.relaymesh, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if c, err = costOf(cmd); err != nil {
		return 0, c, fmt.Errorf("relaymesh sync of a group: %w: %s", err, out.String())
	}
	for _, p := range links {
		moved += p.bytes.Load()
	}
	return moved, c, nil
}
