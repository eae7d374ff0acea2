package syncing

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// pagedAuthors is of how many authors a relay without NIP-77 is read to its beginning at a time, so that a sync
// need not begin anew with all of them where it could not go on.
const pagedAuthors = 50

// inPages decides what is asked of a relay without NIP-77, which is read page by page, in place of a list of jobs: of
// authors who were read to their beginning within [readAgain] what is new since, and of the others all there is, for an
// old event may have come late. read says when each was, and through what all syncs have compared. Jobs that write to the
// relay or are not of its writers stay as they are.
func inPages(list []job, read map[string]int64, through, now int64) (jobs []job) {
	var whole []job
	for _, j := range list {
		if !j.writers {
			whole = append(whole, j)
			continue
		}
		since := now
		recent, others := j, j
		recent.filter.Authors, others.filter.Authors = nil, nil
		for _, author := range j.filter.Authors {
			at := read[author]
			if at <= now-seconds(readAgain) {
				others.filter.Authors = append(others.filter.Authors, author)
				continue
			}
			recent.filter.Authors = append(recent.filter.Authors, author)
			since = min(since, max(at, through))
		}
		recent.filter.Since = max(j.filter.Since, since-lateness(since, now))
		if len(recent.filter.Authors) > 0 && !recent.filter.Void() {
			jobs = append(jobs, recent)
		}
		others.begins = true
		for part := range slices.Chunk(others.filter.Authors, pagedAuthors) {
			others.filter.Authors = part
			whole = append(whole, others)
		}
	}
	return append(jobs, whole...)
}

// lateness decides by how many seconds before a time that was read up to is read again, as events reach a relay late: an
// hour, and with the first sync of a day two days. Those that come later still are read with all others.
func lateness(through, now int64) int64 {
	if today(through) == today(now) {
		return seconds(time.Hour)
	}
	return seconds(2 * day)
}

// readBy returns the filter, without authors, by which the writers of a relay are read; "" if there is not one for all,
// so that nothing is said of an author by having been read.
func readBy(list []job) (key string) {
	for _, j := range list {
		if !j.writers {
			continue
		}
		f := j.filter
		f.Authors = nil
		if k := f.Key(); key != "" && key != k {
			return ""
		} else if key == "" {
			key = k
		}
	}
	return key
}

// pagedBy decides since when a relay is read page by page by a filter, see [readBy]; nil if it is not.
func pagedBy(old *contract.Paged, paged bool, filter string, now int64) *contract.Paged {
	switch {
	case !paged || filter == "":
		return nil
	case old != nil && old.Filter == filter:
		return old
	}
	return &contract.Paged{Filter: filter, Since: now}
}

// readSince returns those of the times that authors were read at that are not before a relay was read by its filter of now.
func readSince(read map[string]int64, p *contract.Paged) map[string]int64 {
	since := map[string]int64{}
	for author, at := range read {
		if p != nil && at >= p.Since {
			since[author] = at
		}
	}
	return since
}
