//go:build linux

package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
)

// recordSize measures how many bytes a record takes in JetStream: count of them are stored in the bucket that dhtworkers use,
// in files, and written anew twice, as refreshes do.
func recordSize(ctx context.Context, out io.Writer, count int) (perRecord float64, err error) {
	dir, err := os.MkdirTemp("", "dhtbench")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server, err := natsd.Start(natsd.Config{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer server.Close()
	conn, err := server.Connect("dhtbench")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return 0, err
	}
	if _, err := bus.Provision(ctx, js, bus.ProvisionOptions{}); err != nil {
		return 0, err
	}
	if err := storeRecords(ctx, js, count); err != nil {
		return 0, err
	}
	bucket, err := js.KeyValue(ctx, contract.BucketRecords)
	if err != nil {
		return 0, err
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return 0, err
	}
	conn.Close()
	server.Close() // so that all is on disk
	disk, err := bytesBelow(dir)
	if err != nil {
		return 0, err
	}
	perRecord = float64(disk) / float64(count)
	_, err = fmt.Fprintf(out, "\n%d records in JetStream KV, each written three times: %.0f bytes a record by its own count, %.0f on disk.\n",
		count, float64(status.Bytes())/float64(count), perRecord)
	return perRecord, err
}

func storeRecords(ctx context.Context, js jetstream.JetStream, count int) error {
	records, err := kv.Open[contract.Record](ctx, js, contract.BucketRecords)
	if err != nil {
		return err
	}
	items := window(count, count, 254)
	for written := range 3 {
		for i := range items {
			it := &items[i]
			target := it.Target()
			record := contract.Record{
				DHTKey: hex.EncodeToString(it.Key[:]), Salt: hex.EncodeToString(it.Salt), Seq: it.Seq, Value: it.Value,
				Sig: hex.EncodeToString(it.Sig[:]), PubKey: hex.EncodeToString(it.Key[:]), Event: hex.EncodeToString(it.Sig[:32]),
				Nodes: make([]byte, 12*26), VerifiedAt: it.Seq + int64(written), NextDue: it.Seq + sixHoursInSeconds,
			}
			_, err := records.Update(ctx, contract.RecordKey(hex.EncodeToString(target[:])), func(contract.Record, bool) (contract.Record, bool) {
				return record, true
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func bytesBelow(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
