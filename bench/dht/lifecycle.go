//go:build linux

package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// The share of the holders of records that leave Mainline in one hour and in six, measured by pkarr (package dhtsim replaces them).
const (
	hourlyChurn = 0.11
	sixHours    = 0.35
)

// figures are what one density gave.
type figures struct {
	count           int // records
	getput          cost
	hourly, strict  cost // a refresh and a renewal each hour
	sixHourly       cost // a refresh every six hours, which is the default, at steady state
	steadyLoss      cost // the same if hourlyChurn left in each hour
	put, resolve    cost
	found, inTwenty int // resolves that found the record, and with at most 20 queries
	resolved        int
	bans            int // by any node at any time
}

// pass lets time pass and refreshes the records with a client that was started anew.
func (b *bench) pass(ctx context.Context, name string, last [][]mainline.Contact, renew bool, churn ...float64) (cost, error) {
	for _, share := range churn {
		if _, err := b.net.do(command{Advance: share}); err != nil {
			return cost{}, err
		}
	}
	node, err := b.start(ctx, b.file)
	if err != nil {
		return cost{}, err
	}
	defer node.Close()
	return b.own(ctx, name, b.items, func(ctx context.Context, i int) (err error) {
		var res mainline.PutResult
		if renew {
			res, err = node.Put(ctx, b.items[i], mainline.PutOptions{Seeds: last[i], Renew: true})
		} else {
			res, err = node.Refresh(ctx, b.items[i], last[i])
		}
		if len(res.Closest) > 0 {
			last[i] = res.Closest
		}
		return err
	})
}

// lifecycle measures records from their first put on, refreshed again and again, and how somebody else finds them.
func (b *bench) lifecycle(ctx context.Context) (f figures, err error) {
	f.count = b.count
	last := make([][]mainline.Contact, len(b.items))
	if err := b.first(ctx, last); err != nil {
		return f, err
	}
	var again cost
	for _, step := range []struct {
		name  string
		to    *cost
		renew bool
		churn []float64
	}{
		{"refresh after 1 h", new(cost), false, []float64{hourlyChurn}},
		{"refresh after 1 h, 2nd pass", &f.hourly, false, []float64{hourlyChurn}},
		{"strict pass after 1 h: sent to all", &f.strict, true, []float64{hourlyChurn}},
		{"refresh after 6 h", new(cost), false, []float64{sixHours}},
		{"refresh after 6 h, 2nd pass", &f.sixHourly, false, []float64{sixHours}},
		{"refresh after 6 h, 3rd pass", &again, false, []float64{sixHours}},
		{
			"refresh after 6 h of 11 % each (50 %)", &f.steadyLoss, false,
			[]float64{hourlyChurn, hourlyChurn, hourlyChurn, hourlyChurn, hourlyChurn, hourlyChurn},
		},
	} {
		if *step.to, err = b.pass(ctx, step.name, last, step.renew, step.churn...); err != nil {
			return f, err
		}
	}
	f.sixHourly = mean(f.sixHourly, again)
	err = b.readers(ctx, &f)
	f.bans = b.bans
	return f, err
}

// own is row for our client.
func (b *bench) own(ctx context.Context, name string, items []bep44.Item, op func(ctx context.Context, i int) error) (cost, error) {
	k, err := b.row(ctx, name, atOnce, items, op)
	b.bans += k.bans
	return k, err
}

// first puts the records with a client that then leaves its nodes file.
func (b *bench) first(ctx context.Context, last [][]mainline.Contact) error {
	node, err := b.start(ctx, b.file)
	if err != nil {
		return err
	}
	if err := learn(ctx, node); err != nil {
		return errors.Join(err, node.Close())
	}
	_, err = b.own(ctx, "put", b.items, func(ctx context.Context, i int) error {
		res, err := node.Put(ctx, b.items[i], mainline.PutOptions{})
		last[i] = res.Closest
		return err
	})
	return errors.Join(err, node.Close())
}

// readers measures the put of records all over the id space, and how somebody else, who has just started, finds them.
func (b *bench) readers(ctx context.Context, f *figures) error {
	node, err := b.start(ctx, b.file)
	if err != nil {
		return err
	}
	defer node.Close()
	f.put, err = b.own(ctx, "put of a new record, read back", b.fresh, func(ctx context.Context, i int) error {
		_, err := node.Put(ctx, b.fresh[i], mainline.PutOptions{})
		return err
	})
	if err != nil {
		return err
	}
	reader, err := b.start(ctx, "")
	if err != nil {
		return err
	}
	defer reader.Close()
	if err := learn(ctx, reader); err != nil {
		return err
	}
	var found, inTwenty atomic.Int64
	f.resolve, err = b.own(ctx, "resolve, first value", b.fresh, func(ctx context.Context, i int) error {
		it := &b.fresh[i]
		res, err := reader.Get(ctx, it.Target(), it.Salt, mainline.GetOptions{Enough: 1})
		if err == nil && res.Item == nil {
			return mainline.ErrNoAnswer
		}
		if err == nil {
			found.Add(1)
			if res.Queried <= 20 {
				inTwenty.Add(1)
			}
		}
		return err
	})
	f.found, f.inTwenty, f.resolved = int(found.Load()), int(inTwenty.Load()), len(b.fresh)
	return err
}
