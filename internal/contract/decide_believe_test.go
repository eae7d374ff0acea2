package contract

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// A year ahead, every field of time is forgotten, those included that will be
// added: each value is filled by reflection. What was said by others, and counts by
// their word (versions, seq, created_at), stays.
func TestTimesOfAClockThatWasAheadAreForgotten(t *testing.T) {
	const now = 1_700_000_000
	day := int64(24 * 3600)
	others := map[string]bool{"DHTKeyAt": true, "Seq": true, "LatencyMS": true}
	for _, value := range []interface{ Believe(now int64) }{
		&Author{}, &Record{}, &Relay{}, &Sync{}, &Refused{}, &Cursor{}, &Lost{},
	} {
		v := reflect.ValueOf(value).Elem()
		times := func(set int64) (fields []string) {
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; v.Field(i).Kind() == reflect.Int64 && !others[name] {
					v.Field(i).SetInt(set)
					fields = append(fields, name)
				}
			}
			return fields
		}
		for _, name := range times(now + 365*day) {
			if value.Believe(now); v.FieldByName(name).Int() != 0 {
				t.Errorf("%T.%s stays a year ahead", value, name)
			}
		}
		for _, name := range times(now + 300) { // of another clock
			if value.Believe(now); v.FieldByName(name).Int() != now+300 {
				t.Errorf("%T.%s, five minutes ahead, is forgotten", value, name)
			}
		}
	}
	s := Sync{Asked: []int64{now, now + 365*day}, Progress: &SyncProgress{Begun: now + 365*day}}
	a := Author{Records: map[string]int64{"target": now + 365*day}}
	ahead := Read{At: now + 365*day, Again: now + 365*day}
	paged, l := Sync{Paged: &Paged{Read: map[string]Read{"job": ahead}}}, Link{Read: &ahead}
	r := Relay{Asked: []int64{now, now + 365*day}}
	for _, value := range []interface{ Believe(now int64) }{&s, &a, &paged, &l, &r} {
		value.Believe(now)
	}
	if s.Progress != nil || a.Records["target"] != 0 || paged.Paged.Read["job"] != (Read{}) || ahead != (Read{}) ||
		len(r.Asked) != 1 || len(s.Asked) != 1 {
		t.Errorf("%+v, %+v, %+v, %+v, %+v", s, a, paged.Paged, ahead, r)
	}
}

// What stages plan is believed for as long as they may plan it.
func TestPlannedTimesAreBelieved(t *testing.T) {
	const now = 1_700_000_000
	for _, c := range []struct {
		json  string
		value interface{ Believe(now int64) }
	}{
		{`{"first_seen":1,"last_seen":1,"next_resolve":1700086400}`, &Author{}},
		{`{"url":"","via":"","first_seen":1,"next_probe":1700108000,"retry_at":1700027000}`, &Relay{}},
		{`{"at":1,"until":1700086400,"why":""}`, &Lost{}},
	} {
		if err := json.Unmarshal([]byte(c.json), c.value); err != nil {
			t.Fatal(err)
		}
		c.value.Believe(now)
		if got, err := json.Marshal(c.value); err != nil || string(got) != c.json {
			t.Errorf("got  %s, %v\nwant %s", got, err, c.json)
		}
	}
	if got := Believe(now+int64((24*time.Hour+10*time.Minute).Seconds())+1, now, 24*time.Hour); got != 0 {
		t.Errorf("beyond the bound: %d", got)
	}
}
