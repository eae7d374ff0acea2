//go:build linux

package main

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/anacrolix/dht/v2"
	abep44 "github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/dht/v2/exts/getput" //nolint:depguard // it is what ours is compared with
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// getput measures the library's way: every record anew, found and put by getput.Put. Only its rate limit and its
// timeout are changed, which cost time and nothing that is measured.
func (b *bench) getput(ctx context.Context, items []bep44.Item) (cost, error) {
	r, err := b.net.do(command{})
	if err != nil {
		return cost{}, err
	}
	server, err := startLibrary(ctx, r.Entrances, nil)
	if err != nil {
		return cost{}, err
	}
	defer server.Close()
	return b.row(ctx, "anacrolix getput.Put", 4, items, func(ctx context.Context, i int) error {
		return getputOne(ctx, server, &items[i])
	})
}

// startLibrary starts a bootstrapped node of the library, on a connection that counts if counts is not nil.
func startLibrary(ctx context.Context, entrances []string, counts *traffic) (*dht.Server, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := dht.NewDefaultServerConfig()
	config.Conn = conn
	if counts != nil {
		config.Conn = countingConn{conn, counts}
	}
	config.Passive = true
	config.SendLimiter = rate.NewLimiter(rate.Inf, 0)
	config.QueryResendDelay = func() time.Duration { return 250 * time.Millisecond }
	config.Logger = alog.NewLogger("dht")
	config.Logger.SetHandlers(alog.DiscardHandler)
	config.StartingNodes = func() (addrs []dht.Addr, err error) {
		for _, hostPort := range entrances {
			addr, err := net.ResolveUDPAddr("udp4", hostPort)
			if err != nil {
				return nil, err
			}
			addrs = append(addrs, dht.NewAddr(addr))
		}
		return addrs, nil
	}
	server, err := dht.NewServer(config)
	if err != nil {
		return nil, err
	}
	if _, err := server.BootstrapContext(ctx); err != nil {
		server.Close()
		return nil, err
	}
	return server, nil
}

// getputOne stores an item as the library's users do.
func getputOne(ctx context.Context, server *dht.Server, it *bep44.Item) error {
	text, err := bep44.DecodeString(it.Value)
	if err != nil {
		return err
	}
	_, err = getput.Put(ctx, it.Target(), server, it.Salt, func(int64) abep44.Put {
		return abep44.Put{V: text, K: &it.Key, Salt: it.Salt, Sig: it.Sig, Seq: it.Seq}
	})
	return err
}

// traffic counts packets.
type traffic struct{ sent, received atomic.Int64 }

// countingConn counts the packets of a connection.
type countingConn struct {
	net.PacketConn
	*traffic
}

func (c countingConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.PacketConn.ReadFrom(b)
	c.received.Add(1)
	return n, from, err
}

func (c countingConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.sent.Add(1)
	return c.PacketConn.WriteTo(b, to)
}
