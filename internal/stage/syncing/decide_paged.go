package syncing

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// pagedAuthors is of how many authors a relay without NIP-77 is read to its beginning at a time, so that a sync
// need not begin anew with all of them where it could not go on: what 16 authors have written in three years is some 70
// pages of 100.
const pagedAuthors = 16

// inPages decides what is asked of a relay without NIP-77, which is read page by page, in place of a list of jobs: what is
// new where all there is was read lately, see [againAfter], and else all there is, as an old event may have come late; of
// writers author by author. p and read say when that was, and through what all syncs have compared. Jobs that write to the
// relay stay as they are: it may lack what has come to the local relay from elsewhere, of any time.
func inPages(list []job, p contract.Paged, read map[string]contract.Read, through, now int64) (jobs []job) {
	var whole []job
	since := func(f nostr.Filter, at int64) nostr.Filter {
		at = max(at, through)
		f.Since = max(f.Since, at-lateness(at, now))
		return f
	}
	by := readBy(list)
	for _, j := range toBeginning(list) {
		if j.begins != writers {
			if was := p.Read[j.begins]; was.Again > now {
				j.filter, j.begins = since(j.filter, was.At), ""
			}
			whole = append(whole, j)
			continue
		}
		recent, others, least := j, j, now
		recent.begins, recent.filter.Authors, others.filter.Authors = "", nil, nil
		for _, author := range j.filter.Authors {
			if was := read[author]; was.Again > now && was.By == by {
				recent.filter.Authors = append(recent.filter.Authors, author)
				least = min(least, was.At)
			} else {
				others.filter.Authors = append(others.filter.Authors, author)
			}
		}
		if recent.filter = since(recent.filter, least); len(recent.filter.Authors) > 0 {
			jobs = append(jobs, recent)
		}
		for part := range slices.Chunk(others.filter.Authors, pagedAuthors) {
			others.filter.Authors = part
			whole = append(whole, others)
		}
	}
	return slices.DeleteFunc(append(jobs, whole...), func(j job) bool { return j.filter.Void() })
}

// againAfter decides for how many seconds what came of a job that has read a relay to its beginning is all there is. was is
// what had come of the one before, if any: the first is not believed. A page that is empty for the moment ends a reading
// early, so it is believed only once another one brings nothing, not even what is refused, and then twice as long each time:
// from a quarter of an hour up to [readAgain], or from minutes up to six hours where there was next to nothing at all, or
// something did not come as it was listed. A day is the most where something was refused earlier, as policies change.
func againAfter(was contract.Read, y contract.Yield, authors int) int64 {
	if y.Brought || was.At == 0 {
		return 0
	}
	least, most := 15*time.Minute, readAgain
	if y.Earlier {
		most = day
	}
	if y.Withheld || little(y.Bytes, authors) {
		least, most = 5*time.Minute, soonest
	}
	return min(max(2*(was.Again-was.At), seconds(least)), seconds(most))
}

// yieldOf returns what came of a sync that writes to the local relay, or of a part of it.
func yieldOf(r reconcile.Result) contract.Yield {
	y := contract.Yield{Brought: r.ToA > 0, Bytes: r.EventBytes}
	for _, refusal := range r.Refusals {
		switch refusal.Cause {
		case reconcile.BySource:
			y.Withheld = true
		case reconcile.ByEarlier:
			y.Earlier = true
		default:
			y.Brought = true
		}
	}
	return y
}

// partOf returns how far a job has come since the sync has begun, which at now begins with it unless it is found.
func partOf(progress *contract.SyncProgress, j job, now int64) contract.SyncPart {
	if progress != nil && progress.Part != nil && progress.Part.Key == j.key() {
		return *progress.Part
	}
	return contract.SyncPart{Key: j.key(), At: now, Until: j.filter.Until}
}

// forNow reports whether a side has refused something for the moment, so that the next sync is to offer it.
func forNow(r reconcile.Result) bool {
	return slices.ContainsFunc(r.Refusals, func(r reconcile.Refusal) bool { return r.Passes() })
}

// writers in place of a key says of a job that it reads a relay to the beginning for the authors of its filter.
const writers = "*"

// toBeginning says of jobs under which key it is known afterwards that they have read a relay to its beginning.
func toBeginning(list []job) []job {
	list, by := slices.Clone(list), readBy(list)
	for i, j := range list {
		switch {
		case j.direction != reconcile.Down || j.middle != "":
		case j.writers && by != "":
			list[i].begins = writers
		default:
			list[i].begins = j.key()
		}
	}
	return list
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
		if key != "" && key != f.Key() {
			return ""
		}
		key = f.Key()
	}
	return key
}

// pagedBy decides what is known of a relay that is read page by page; nil if it is not. Of other filters than those of list
// nothing is known any more.
func pagedBy(old *contract.Paged, paged bool, list []job) *contract.Paged {
	if !paged {
		return nil
	}
	next := contract.Paged{Read: map[string]contract.Read{}}
	for _, j := range list {
		if old == nil {
			break
		}
		if was, read := old.Read[j.key()]; read {
			next.Read[j.key()] = was
		}
	}
	return &next
}
