package bus_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// sizedServer is a server that may take so many bytes, until the test ends.
func sizedServer(t *testing.T, dir string, bytes int64) jetstream.JetStream {
	t.Helper()
	s, err := natsd.Start(natsd.Config{Dir: dir, SyncInterval: 1000 * time.Hour, MaxStore: bytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return natstest.Connect(t, s)
}

// intakeBytes is how much the intake may take.
func intakeBytes(t *testing.T, js jetstream.JetStream) int64 {
	t.Helper()
	intake, err := js.Stream(context.Background(), contract.StreamIntake)
	if err != nil {
		t.Fatal(err)
	}
	return intake.CachedInfo().Config.MaxBytes
}

// What a server has room for can only be tried: the bounds of a first installation
// shrink until they fit, which is told once, and stay like that.
func TestBoundsShrinkToTheRoomOfTheServer(t *testing.T) {
	rooms := []int64{1_000_000_000, 7_500_000_000, 1_300_000_000, 2_900_000_000, 5 << 30, 7_400_000_000}
	if testing.Short() { // races show in fewer
		rooms = rooms[:2]
	}
	for _, room := range rooms {
		t.Run(strconv.FormatInt(room, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				js := sizedServer(t, natstest.Dir(t), room)
				made, err := bus.Provision(ctx, js, bus.ProvisionOptions{RefreshEvery: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				told, seen := 0, map[string]bool{}
				for _, c := range made {
					if seen[c.What] {
						t.Errorf("%s is told twice", c.What)
					}
					seen[c.What] = true
					if strings.HasPrefix(c.Done(), "shrunk the bounds of all streams and buckets: to a store of ") {
						told++
					}
				}
				shrinks := room < contract.Bounds(contract.FullStore)
				if small := intakeBytes(t, js) < 4<<30; small != shrinks || (told == 1) != shrinks || intakeBytes(t, js) < room/6 {
					t.Errorf("told %d times, the intake takes %d bytes", told, intakeBytes(t, js))
				}
				if made, err := bus.Provision(ctx, js, bus.ProvisionOptions{RefreshEvery: time.Hour}); err != nil || len(made) > 0 {
					t.Errorf("the second time: %v, %v", made, err)
				}
			})
		})
	}
}

// The limits of an account are asked for, so nothing is made that would not fit.
func TestBoundsShrinkToTheLimitsOfTheAccount(t *testing.T) {
	t.Parallel()
	for limits, want := range map[string]int64{
		"max_file: 3000000000":                        (4 << 30) / 4,
		"disk_max_stream_bytes: 1073741824":           1 << 30,
		"max_file: 8000000000":                        4 << 30,
		"max_file: 1000000000, max_memory: 100000000": (4 << 30) / 12,
	} {
		js := accountWith(t, limits)
		planned, err := bus.Plan(t.Context(), js, bus.ProvisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		made, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{})
		if err != nil || fmt.Sprint(made) != fmt.Sprint(planned) {
			t.Errorf("%s: %v, made %v, planned %v", limits, err, made, planned)
		}
		if got := intakeBytes(t, js); got < want-1 || got > want {
			t.Errorf("%s: the intake takes %d bytes, want %d", limits, got, want)
		}
	}
	_, err := bus.Provision(t.Context(), accountWith(t, "max_file: 500000000"), bus.ProvisionOptions{})
	says(t, "provision", err, "come to 624 MB", "the account's limit")
}

// accountWith is an account of those limits, at a server that has room.
func accountWith(t *testing.T, limits string) jetstream.JetStream {
	t.Helper()
	s := runServer(t, fmt.Sprintf("jetstream { store_dir: %q, max_file_store: 1TB }\n"+
		"accounts { A { jetstream: { %s }, users: [ { user: a, password: b } ] } }", t.TempDir(), limits))
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// What was ever used keeps its bounds, whatever the server has become: a change that does
// not fit is refused as before.
func TestWhatIsInUseDoesNotShrink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, dir := context.Background(), natstest.Dir(t)
		s := natstest.StartOn(t, dir)
		js := natstest.Provision(t, s)
		if _, err := js.Publish(ctx, events.SubjectEventReceived, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if err := js.DeleteKeyValue(ctx, contract.BucketRefused); err != nil {
			t.Fatal(err)
		}
		s.Close()
		js = sizedServer(t, dir, 5<<30)
		_, err := bus.Provision(ctx, js, bus.ProvisionOptions{})
		says(t, "provision", err, "create bucket refused", "come to 7499 MB", "--nats-max-store")
		if got := intakeBytes(t, js); got != 4<<30 {
			t.Errorf("the intake takes %d bytes", got)
		}
	})
}

// A first start that was cut off, or that an earlier version gave up, is no installation yet.
func TestAHalfMadeInstallationShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		js := sizedServer(t, natstest.Dir(t), 5<<30)
		planned, err := bus.Plan(ctx, js, bus.ProvisionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.Apply(ctx, planned[0]); err != nil { // the intake, of the full size
			t.Fatal(err)
		}
		if _, err := bus.Provision(ctx, js, bus.ProvisionOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestProvisioningWithoutStorageSaysHowMuchIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		small := sizedServer(t, natstest.Dir(t), contract.MinStore/2)
		_, err := bus.Provision(ctx, small, bus.ProvisionOptions{})
		says(t, "provision", err, "create ", "come to 624 MB", "max_file_store")
		// What was asked for is not changed by itself, and what it says helps.
		js := sizedServer(t, natstest.Dir(t), 5<<30)
		_, err = bus.Provision(ctx, js, bus.ProvisionOptions{Store: 12_000_000_000})
		says(t, "provision", err, "create stream", "come to 7499 MB", "max_file_store", "--nats-max-store")
		if _, err := bus.Provision(ctx, js, bus.ProvisionOptions{Store: 5 << 30}); err != nil {
			t.Error(err)
		}
	})
}
