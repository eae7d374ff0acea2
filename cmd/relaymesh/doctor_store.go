package main

import (
	"context"
	"fmt"

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
