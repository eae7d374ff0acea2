package mainline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/relaymesh/relaymesh/internal/ownfile"
)

// savedNodes is the nodes file: the node's id and good nodes in BEP 5 compact form.
type savedNodes struct {
	ID    [20]byte
	Nodes []Contact
}

type nodesFile struct {
	ID    []byte `json:"id"`
	Nodes []byte `json:"nodes"`
}

// loadNodes reads a nodes file; the zero value is what there is without one. A file that cannot be read, or is damaged, costs the
// id and the nodes in it and never the start: it is set aside, and told of.
func loadNodes(path string, log *slog.Logger) savedNodes {
	if path == "" {
		return savedNodes{}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return savedNodes{}
	}
	if err != nil {
		log.Warn("cannot read the DHT nodes file, the node starts with a new id", "path", path, "err", err)
		return savedNodes{}
	}
	saved, err := parseNodes(text)
	if err != nil {
		_, asideErr := ownfile.SetAside(path)
		log.Warn("the DHT nodes file is damaged and set aside (.damaged), the node starts with a new id", "path", path,
			"err", errors.Join(err, asideErr))
		return savedNodes{}
	}
	return saved
}

func parseNodes(text []byte) (saved savedNodes, err error) {
	var f nodesFile
	if err := json.Unmarshal(text, &f); err != nil {
		return saved, err
	}
	if len(f.ID) != len(saved.ID) {
		return saved, fmt.Errorf("an id of %d bytes", len(f.ID))
	}
	nodes, err := ParseCompact(f.Nodes)
	return savedNodes{[20]byte(f.ID), nodes}, err
}

// save writes the nodes file, whole or not at all. The id in it is the one for the next start.
func (n *Node) save() error {
	path := n.config.NodesFile
	if path == "" {
		return nil
	}
	n.saving.Lock()
	defer n.saving.Unlock()
	id := n.nextID()
	text, err := json.Marshal(nodesFile{ID: id[:], Nodes: AppendCompact(nil, n.seeds(n.id, 1<<11))})
	if err == nil {
		err = ownfile.Write(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("couldn't save the DHT nodes: %w", err)
	}
	return nil
}

// saveRegularly saves at once, so that the id is kept and a folder that takes no files is told of at the start.
func (n *Node) saveRegularly() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		if err := n.save(); err != nil {
			n.log.Warn("the DHT node's id and neighbours cannot be saved, the next start is a stranger's", "err", err)
		}
		select {
		case <-tick.C:
		case <-n.closing:
			return
		}
	}
}
