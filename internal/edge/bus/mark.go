package bus

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// The metadata that streams, consumers and buckets of ours carry.
const (
	// metaMark says that relaymesh has made it.
	metaMark = "relaymesh"
	// metaStore is the size in bytes for which it was bounded, if that is less than
	// [contract.FullStore].
	metaStore = "relaymesh-store"
)

// marked lays our metadata over those that there are.
func marked(metadata map[string]string, store int64) map[string]string {
	out := maps.Clone(metadata)
	if out == nil {
		out = map[string]string{}
	}
	out[metaMark] = "1"
	delete(out, metaStore)
	if store < contract.FullStore {
		out[metaStore] = strconv.FormatInt(store, 10)
	}
	return out
}

// StoreOf is the size in bytes for which a stream, consumer or bucket with that metadata
// was bounded: [contract.FullStore] where they say none.
func StoreOf(metadata map[string]string) int64 {
	store, err := strconv.ParseInt(metadata[metaStore], 10, 64)
	if err != nil || store < contract.MinStore {
		return contract.FullStore
	}
	return store
}

// formerDocs are descriptions that released versions gave, before there was a mark.
var formerDocs = []string{"the server's word that a message was delivered too often"} // ADVISORIES

// strange says why a stream or bucket of our name is not changed; "" if it is ours, by its
// mark, or as versions before there was one have left it, by its description. Subjects
// prove nothing: others have dead letters on dlq.>, too.
func strange(metadata map[string]string, description, doc string) string {
	if metadata[metaMark] != "" || description == doc || slices.Contains(formerDocs, description) {
		return ""
	}
	return "there is one of that name that relaymesh has not made, and does not touch: give relaymesh an account of its own in NATS, " +
		"or a prefix (--nats-prefix), or the other one another name"
}

// visible are metadata without those that only the server reads and writes.
func visible(metadata map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		if !strings.HasPrefix(key, "_nats.") {
			list = append(list, key+"="+metadata[key])
		}
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, " ")
}
