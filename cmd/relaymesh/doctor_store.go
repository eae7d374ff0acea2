package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
)

// repair looks at the store of the embedded relay, and saves what it can if it
// is damaged.
func (c *doctorCmd) repair(ctx context.Context, o *output) error {
	if err := c.findData(); err != nil {
		return err
	}
	path := c.relayFile()
	found, err := homerelay.Repair(ctx, path)
	if err != nil {
		return fmt.Errorf("couldn't repair %s: %w", path, err)
	}
	damage := ""
	if found.Damage != nil {
		damage = found.Damage.Error()
	}
	if c.JSON {
		return o.json(struct {
			Store  string `json:"store"`
			Damage string `json:"damage"`
			Saved  int    `json:"saved"`
			Lost   int    `json:"lost"`
			Aside  string `json:"aside"`
		}{path, damage, found.Saved, found.Lost, found.Aside})
	}
	if found.Damage == nil {
		fmt.Fprintf(o.out, "%s is well; nothing was changed\n", path)
		return nil
	}
	fmt.Fprintf(o.out, "%s was damaged: %s\n", path, damage)
	fmt.Fprintf(o.out, "%d events were saved, %d are known to be lost (a sync may bring them back)\n", found.Saved, found.Lost)
	fmt.Fprintf(o.out, "the damaged file is now %s\n", found.Aside)
	return nil
}

// repairAtStart does the same where up finds at its start that the store is damaged, as
// after a loss of power: no start after it would find anything else.
func repairAtStart(ctx context.Context, damaged *homerelay.DamagedError, log *slog.Logger) error {
	found, err := homerelay.Repair(ctx, damaged.Path)
	if err != nil {
		return fmt.Errorf("%w; couldn't repair it: %w", damaged, err)
	}
	log.WarnContext(ctx, "the store of the embedded relay was damaged and is set aside: what can be read is in a new one, a sync may bring "+
		"back the rest", "path", damaged.Path, "err", damaged.Err,
		"notice", fmt.Sprintf("%d events were saved, %d are known to be lost; the damaged file is now %s", found.Saved, found.Lost, found.Aside))
	return nil
}
