package main

import (
	"slices"
	"testing"
	"time"
)

func TestAScheduleIsAFunctionOfItsSeed(t *testing.T) {
	a, b := schedule(7, time.Minute, true, nil), schedule(7, time.Minute, true, nil)
	if !slices.Equal(a, b) || len(a) == 0 {
		t.Errorf("two schedules of one seed: %v and %v", a, b)
	}
	if slices.Equal(a, schedule(8, time.Minute, true, nil)) {
		t.Error("another seed has the same schedule")
	}
}

func TestTwoMinutesHaveEveryKind(t *testing.T) {
	for seed := range uint64(100) {
		count := map[string]int{}
		for _, f := range schedule(seed, 2*time.Minute, true, nil) {
			count[f.Kind]++
			if f.At+f.Lasts+calm > 2*time.Minute {
				t.Errorf("seed %d: %v ends too late", seed, f)
			}
		}
		for _, k := range kinds {
			if count[k.name] == 0 {
				t.Errorf("seed %d: no %s", seed, k.name)
			}
		}
	}
}

func TestFaultsDoNotOverlapButLongStops(t *testing.T) {
	var end time.Duration
	for _, f := range schedule(1, time.Hour, true, nil) {
		if f.At < end {
			t.Errorf("%v begins before the last one has ended", f)
		}
		if f.Kind != kindFreeze {
			end = f.At + f.Lasts
		}
	}
}

func TestWithoutNamespacesNothingNeedsThem(t *testing.T) {
	for _, f := range schedule(1, time.Hour, false, nil) {
		if slices.Contains([]string{kindDisk, kindPartition, kindLoss}, f.Kind) {
			t.Errorf("%v", f)
		}
	}
	for _, f := range schedule(1, time.Hour, true, []string{kindLoss}) {
		if f.Kind != kindLoss {
			t.Errorf("%v, want %s only", f, kindLoss)
		}
	}
	if plan := schedule(1, time.Hour, false, []string{kindLoss}); plan != nil {
		t.Errorf("no kind is left, planned %v", plan)
	}
}
