//go:build !scionic

package run

import (
	"context"
	"errors"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
)

// withDAGs says whether this build can fetch DAGs.
const withDAGs = false

// fetchDAGs needs a build of its own; see dag.go.
func (e *Env) fetchDAGs(context.Context, stage.Store[contract.Author]) error {
	if e.Config.DAGDir != "" {
		return errors.New("--dag-dir: this binary was built without DAGs: build it with -tags scionic, or leave the flag out")
	}
	return nil
}
