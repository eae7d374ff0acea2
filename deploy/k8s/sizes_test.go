package k8s_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
)

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
		if store := bytesOf(t, size) * usable * 3 / 4; store < contract.FullStore {
			t.Errorf("a volume of %s gives a store of %.1f GB, and streams and buckets may take %.1f", size, store/1e9, contract.FullStore/1e9)
		}
		return
	}
	t.Error("there is no StatefulSet")
}

// The volume of a list index holds what the index may keep, and is where it keeps it; what a dhtworker knows of indexes is on
// its volume, too.
func TestIndexesAreKeptOnVolumes(t *testing.T) {
	var index struct{ config.ServeIndex }
	if _, err := kong.Must(&index).Parse(nil); err != nil {
		t.Fatal(err)
	}
	_, objects := render(t, withComponent(t, "ha", "index"))
	found := pods(objects)
	for _, o := range objects {
		if name(o) != "StatefulSet/index" {
			continue
		}
		claim := at(o, "spec", "volumeClaimTemplates", 0)
		volume, most := bytesOf(t, text(claim, "spec", "resources", "requests", "storage")), float64(index.MaxMiB<<20)
		if volume*usable < most {
			t.Errorf("a volume of %.1f GB for an index of %.1f", volume/1e9, most/1e9)
		}
		mount := at(found["index"], "containers", 0, "volumeMounts", 0)
		if env := settings(objects, found["index"]); env["RELAYMESH_DATA"] != text(mount, "mountPath") ||
			text(mount, "name") != text(claim, "metadata", "name") {
			t.Errorf("the index keeps its store in %q, and its volume is at %v", env["RELAYMESH_DATA"], mount)
		}
	}
	if found["index"] == nil {
		t.Error("there is no index")
	}
	for _, variable := range []string{"RELAYMESH_INDEX_FILE", "RELAYMESH_DHT_NODES_FILE"} {
		file := settings(objects, found["dhtworker"])[variable]
		if !slices.ContainsFunc(list(found["dhtworker"], "containers", 0, "volumeMounts"), func(m any) bool {
			return text(m, "name") == "state" && strings.HasPrefix(file, text(m, "mountPath")+"/")
		}) {
			t.Errorf("%s of a dhtworker is %q, which is not on its volume", variable, file)
		}
	}
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
	if most < contract.FullStore || volume*usable < most {
		t.Errorf("a store of %.1f GB on a volume of %.1f, and streams and buckets may take %.1f", most/1e9, volume/1e9, contract.FullStore/1e9)
	}
	if number(values, "config", "cluster", "replicas") != 3 {
		t.Errorf("%v nodes, which are to hold three replicas", number(values, "config", "cluster", "replicas"))
	}
}

// All bounds together fit, those too that the server sets nothing aside for.
func TestAFullStoreHoldsAllBounds(t *testing.T) {
	var sum int64
	for _, s := range contract.Streams() {
		sum += s.MaxBytes
	}
	for _, b := range contract.Buckets() {
		sum += b.MaxBytes
	}
	if sum > contract.FullStore*3/4 { // a quarter is for what grows with authors and relays
		t.Errorf("bounds of %.1f GB in a store of %.1f", float64(sum)/1e9, contract.FullStore/1e9)
	}
}
