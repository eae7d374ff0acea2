package main

import (
	"context"
	"net"
	"time"

	"github.com/anacrolix/dht/v2"
	abep44 "github.com/anacrolix/dht/v2/bep44"
	"github.com/anacrolix/dht/v2/exts/getput"
	alog "github.com/anacrolix/log"
	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// getput measures the library's way: every record anew, found and put by getput.Put. Only its rate limit and its
// timeout are changed, which cost time and nothing that is measured.
func (b *bench) getput(ctx context.Context, items []bep44.Item) error {
	r, err := b.net.do(command{})
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	config := dht.NewDefaultServerConfig()
	config.Conn = conn
	config.Passive = true
	config.SendLimiter = rate.NewLimiter(rate.Inf, 0)
	config.QueryResendDelay = func() time.Duration { return 250 * time.Millisecond }
	config.Logger = alog.NewLogger("dht")
	config.Logger.SetHandlers(alog.DiscardHandler)
	config.StartingNodes = func() (addrs []dht.Addr, err error) {
		for _, hostPort := range r.Entrances {
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
		return err
	}
	defer server.Close()
	if _, err := server.BootstrapContext(ctx); err != nil {
		return err
	}
	return b.row(ctx, "anacrolix getput.Put", 4, items, func(ctx context.Context, i int) error {
		it := &items[i]
		text, err := bep44.DecodeString(it.Value)
		if err != nil {
			return err
		}
		_, err = getput.Put(ctx, it.Target(), server, it.Salt, func(int64) abep44.Put {
			return abep44.Put{V: text, K: &it.Key, Salt: it.Salt, Sig: it.Sig, Seq: it.Seq}
		})
		return err
	})
}
