package syncing

import (
	"maps"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// pagedAuthors is of how many authors a relay without NIP-77 is read to its beginning at a time, so that a sync
// need not begin anew with all of them where it could not go on.
const pagedAuthors = 50

// inPages decides what is asked of a relay without NIP-77, which is read page by page, in place of a list of jobs: what is
// new where all there is was read within [readAgain], and else all there is, as an old event may have come late; of
// writers author by author. read says when each was, and through what all syncs have compared. Jobs that write to the
// relay stay as they are: it may lack what has come to the local relay from elsewhere, of any time.
func inPages(list []job, p contract.Paged, read map[string]int64, through, now int64) (jobs []job) {
	var whole []job
	long := now - seconds(readAgain)
	since := func(f nostr.Filter, at int64) nostr.Filter {
		at = max(at, through)
		f.Since = max(f.Since, at-lateness(at, now))
		return f
	}
	for _, j := range toBeginning(list, p.Filter) {
		if j.begins != writers {
			if at := p.Read[j.begins]; at > long {
				j.filter, j.begins = since(j.filter, at), ""
			}
			whole = append(whole, j)
			continue
		}
		recent, others, least := j, j, now
		recent.begins, recent.filter.Authors, others.filter.Authors = "", nil, nil
		for _, author := range j.filter.Authors {
			at := read[author]
			if at < p.Since || at <= long {
				others.filter.Authors = append(others.filter.Authors, author)
				continue
			}
			recent.filter.Authors = append(recent.filter.Authors, author)
			least = min(least, at)
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

// writers in place of a key says of a job that it reads a relay to the beginning for the authors of its filter.
const writers = "*"

// toBeginning says of jobs under which key it is known afterwards that they have read a relay to its beginning. filter is that
// of its writers, see [readBy].
func toBeginning(list []job, filter string) []job {
	list = slices.Clone(list)
	for i, j := range list {
		switch {
		case j.direction != reconcile.Down || j.middle != "":
		case j.writers && filter != "":
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

// pagedBy decides what is known of a relay by now that is read page by page; nil if it is not. Of other filters than those
// of list nothing is known any more.
func pagedBy(old *contract.Paged, paged bool, list []job, now int64) *contract.Paged {
	if !paged {
		return nil
	}
	next := contract.Paged{Filter: readBy(list), Since: now}
	if old == nil {
		return &next
	}
	if old.Filter == next.Filter {
		next.Since = old.Since
	}
	for _, j := range list {
		if at, was := old.Read[j.key()]; was {
			next = readOf(next, j.key(), at)
		}
	}
	return &next
}

// readOf notes that what a relay has of a filter was read to its beginning.
func readOf(p contract.Paged, key string, at int64) contract.Paged {
	p.Read = maps.Clone(p.Read)
	if p.Read == nil {
		p.Read = map[string]int64{}
	}
	p.Read[key] = at
	return p
}
