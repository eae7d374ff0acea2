package khatrutest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	gonostr "github.com/nbd-wtf/go-nostr"
)

// journal is a file to which is appended what happens to the store, one entry a
// line, synced before it counts. It survives being killed at any moment, and a
// full disk.
type journal struct {
	*os.File
	end int64 // of the last whole entry
}

// entry is an event that was stored, or the id of one that was deleted.
type entry struct {
	Event   *gonostr.Event `json:"event,omitempty"`
	Deleted string         `json:"deleted,omitempty"`
}

// load opens the file, which may not exist yet, and keeps what it holds. What
// comes after the last whole entry was never acknowledged.
func (r *Relay) load(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.file = &journal{File: f}
	for line := range bytes.Lines(data) {
		var e entry
		if json.Unmarshal(line, &e) != nil || !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		r.file.end += int64(len(line))
		if e.Event == nil {
			r.forget(e.Deleted)
		} else {
			_ = r.keep(e.Event) // one that is replaced already stays so
		}
	}
	return nil
}

// write appends an entry and returns when it is on disk; on error it is not
// there. Without a file it does nothing.
func (j *journal) write(e entry) error {
	if j == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	_, err = j.WriteAt(line, j.end) // over what an earlier write left half done
	if err == nil {
		err = j.Sync()
	}
	if err != nil {
		return fmt.Errorf("couldn't write the event: %w", errors.Join(err, j.Truncate(j.end)))
	}
	j.end += int64(len(line))
	return nil
}
