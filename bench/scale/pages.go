//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/console"
)

// pages of the console that list or count all that is known; bench/console has more.
var pages = []string{"/", "/mesh", "/users", "/relays"}

// look waits until the console has counted so many authors, and measures its pages: how
// long the slowest takes in the median.
func look(ctx context.Context, url string, authors int) (counted, slowest time.Duration, page string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		text, err := get(ctx, url+"/", "application/json")
		if err != nil {
			return 0, 0, "", err
		}
		var v struct{ Summary console.Summary }
		if err := json.Unmarshal(text, &v); err != nil {
			return 0, 0, "", err
		}
		if v.Summary.Whole {
			if v.Summary.Users.All != authors {
				return 0, 0, "", fmt.Errorf("the console has counted %d authors", v.Summary.Users.All)
			}
			counted = time.Since(began)
			break
		}
	}
	for _, path := range pages {
		var all []time.Duration
		for range 9 {
			began := time.Now()
			if _, err := get(ctx, url+path, "text/html"); err != nil {
				return 0, 0, "", err
			}
			all = append(all, time.Since(began))
		}
		slices.Sort(all)
		if median := all[len(all)/2]; median > slowest {
			slowest, page = median, path
		}
	}
	return counted, slowest, page, nil
}

func get(ctx context.Context, url, accept string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
