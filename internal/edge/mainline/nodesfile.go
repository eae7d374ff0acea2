package mainline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
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

// loadNodes reads a nodes file. A missing file is an empty one; a damaged file is an error, so that an id that others
// know is never replaced unnoticed.
func loadNodes(path string) (savedNodes, error) {
	var saved savedNodes
	if path == "" {
		return saved, nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return saved, nil
	}
	if err != nil {
		return saved, fmt.Errorf("couldn't read the DHT nodes file: %w", err)
	}
	var f nodesFile
	if err := json.Unmarshal(text, &f); err != nil || len(f.ID) != len(saved.ID) {
		return saved, fmt.Errorf("DHT nodes file %s is damaged: delete it to start with a new id", path)
	}
	copy(saved.ID[:], f.ID)
	if saved.Nodes, err = ParseCompact(f.Nodes); err != nil {
		return saved, fmt.Errorf("DHT nodes file %s is damaged: delete it to start with a new id", path)
	}
	return saved, nil
}

// save writes the nodes file, whole or not at all. The id in it is the one for the next start.
func (n *Node) save() error {
	path := n.config.NodesFile
	if path == "" {
		return nil
	}
	id := n.nextID()
	text, err := json.Marshal(nodesFile{ID: id[:], Nodes: AppendCompact(nil, n.seeds(n.id, 1<<11))})
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("couldn't save the DHT nodes: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("couldn't save the DHT nodes: %w", err)
	}
	return nil
}

func (n *Node) saveRegularly() {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := n.save(); err != nil {
				n.log.Warn("DHT nodes not saved", "err", err)
			}
		case <-n.closing:
			return
		}
	}
}
