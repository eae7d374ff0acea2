package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const lossPercent = 20

// inflict breaks what the fault says, for as long as it lasts. It returns when
// everything is mended again; what is said is what happened beyond that.
func (f *fleet) inflict(ctx context.Context, what fault) (said string, err error) {
	group := f.parts[what.Group]
	p := group[what.Number%len(group)]
	hold := func(begin, end func() error) error {
		if err := begin(); err != nil {
			return err
		}
		select {
		case <-time.After(what.Lasts):
		case <-ctx.Done():
		}
		return end()
	}
	said = p.name
	switch what.Kind {
	case kindKill:
		return said, hold(p.kill, func() error { p.revive(); return nil })
	case kindStop, kindFreeze:
		return said, hold(func() error { return p.signal(syscall.SIGSTOP) }, func() error { return p.signal(syscall.SIGCONT) })
	case kindDisk:
		if err := hold(p.fill, p.empty); err != nil || what.Group != groupNATS {
			return said, err
		}
		restarted, err := p.probeLiveness(ctx)
		if restarted {
			said += ", which had to be restarted"
		}
		return said, err
	case kindPartition:
		said = p.host.name
		return said, hold(func() error { return p.host.cut(ctx) }, func() error { return p.host.mend(context.WithoutCancel(ctx)) })
	case kindLoss:
		said = p.host.name
		return said, hold(func() error { return p.host.lose(ctx, lossPercent) }, func() error { return p.host.keep(context.WithoutCancel(ctx)) })
	case kindLeader:
		moved, err := f.stepDown(ctx)
		return fmt.Sprintf("of %d streams and consumers", moved), err
	}
	return "", errors.New("no such fault")
}

// stepDown makes the leaders of the cluster, of all streams and of all
// consumers resign, and returns how many did.
func (f *fleet) stepDown(ctx context.Context) (moved int, err error) {
	err = until(ctx, func() error { // the answer may get lost with a node that another fault hits
		_, err := request(ctx, f.system, "$JS.API.META.LEADER.STEPDOWN")
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("step down the cluster's leader: %w", err)
	}
	var subjects []string
	err = until(ctx, func() error { // while a leader is being elected nobody knows the streams
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		subjects = nil
		streams := f.js.ListStreams(ctx)
		for s := range streams.Info() {
			subjects = append(subjects, "STREAM.LEADER.STEPDOWN."+s.Config.Name)
			names, err := f.consumers(ctx, s.Config.Name)
			if err != nil {
				return err
			}
			for _, name := range names {
				subjects = append(subjects, "CONSUMER.LEADER.STEPDOWN."+s.Config.Name+"."+name)
			}
		}
		return streams.Err()
	})
	if err != nil {
		return 0, fmt.Errorf("list streams: %w", err)
	}
	for _, subject := range subjects {
		// One that has no leader right now cannot lose it.
		answer, err := request(ctx, f.nc, "$JS.API."+subject)
		if err == nil && strings.Contains(string(answer.Data), `"success":true`) {
			moved++
		}
	}
	return moved, ctx.Err()
}

func request(ctx context.Context, nc *nats.Conn, subject string) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return nc.RequestWithContext(ctx, subject, nil)
}

func (f *fleet) consumers(ctx context.Context, stream string) ([]string, error) {
	s, err := f.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	list := s.ConsumerNames(ctx)
	for name := range list.Name() {
		names = append(names, name)
	}
	return names, list.Err()
}
