package k8s_test

import (
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// unbounded is what buckets without a bound take of a store, in bytes: what is known
// of three million authors (docs/operating.md, Sizes).
const unbounded = 3_400_000_000

// wanted is how many bytes a store is to take: what all streams and buckets may
// hold, and what is not bounded.
func wanted() (bytes float64) {
	bytes = unbounded
	for _, s := range contract.Streams() {
		bytes += float64(s.MaxBytes)
	}
	for _, b := range contract.Buckets() {
		bytes += float64(b.MaxBytes)
	}
	return bytes
}

func bytesOf(t *testing.T, quantity string) float64 {
	t.Helper()
	q, err := resource.ParseQuantity(quantity)
	if err != nil {
		t.Fatalf("%q: %v", quantity, err)
	}
	return q.AsApproximateFloat64()
}

// A file system takes some seven hundredths of a volume (ext4: its tables, and what
// it keeps for root).
const usable = 0.93

// The volume of overlay single holds what its streams may take: up gives NATS three
// quarters of what is free on it.
func TestTheVolumeOfSingleHoldsWhatStreamsMayTake(t *testing.T) {
	_, objects := render(t, "overlays/single")
	for _, o := range objects {
		if text(o, "kind") != "StatefulSet" {
			continue
		}
		size := text(o, "spec", "volumeClaimTemplates", 0, "spec", "resources", "requests", "storage")
		if store := bytesOf(t, size) * usable * 3 / 4; store < wanted() {
			t.Errorf("a volume of %s gives a store of %.1f GB, and streams and buckets may take %.1f", size, store/1e9, wanted()/1e9)
		}
		return
	}
	t.Error("there is no StatefulSet")
}

// Each node of the NATS cluster holds every stream, with --replicas=3 of three.
func TestTheNATSClusterHoldsWhatStreamsMayTake(t *testing.T) {
	raw, err := os.ReadFile("nats/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values object
	if err := yaml.Unmarshal(raw, &values); err != nil {
		t.Fatal(err)
	}
	store := at(values, "config", "jetstream", "fileStore")
	most, volume := bytesOf(t, text(store, "maxSize")), bytesOf(t, text(store, "pvc", "size"))
	if most < wanted() || volume*usable < most {
		t.Errorf("a store of %.1f GB on a volume of %.1f, and streams and buckets may take %.1f", most/1e9, volume/1e9, wanted()/1e9)
	}
	if number(values, "config", "cluster", "replicas") != 3 {
		t.Errorf("%v nodes, which are to hold three replicas", number(values, "config", "cluster", "replicas"))
	}
}
