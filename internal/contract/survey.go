package contract

// Survey is the value of bucket surveys, under a slice of the authors ([SurveyRoot]):
// where their events were looked for beyond the relays that lists name.
type Survey struct {
	// Split says that the slice has become its two halves, and is looked for no more.
	Split   bool  `json:"split,omitempty"`
	Authors int   `json:"authors,omitempty"`
	Passed  int64 `json:"passed,omitempty"` // when the last pass over the relays that were due began
	// Met is until when authors were first seen who are no longer new to the slice: they
	// were looked for at once at its best relays. Versions that had none took Passed for it.
	Met int64 `json:"met,omitempty"`
	// Looks are the relays that were asked, by relay key.
	Looks map[string]Look `json:"looks,omitempty"`
	// Day is the day of Bytes (days since 1970), which is about what it has cost since.
	Day   int64 `json:"day,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
	// Brought are some of the events that came by the last pass. If the local relay has
	// them no more in the next one, it does not keep what is older than Since: until
	// 30 days after SinceAt only later events are looked for, and Why says so.
	Brought []Brought `json:"brought,omitempty"`
	Since   int64     `json:"since,omitempty"`
	SinceAt int64     `json:"since_at,omitempty"`
	Why     string    `json:"why,omitempty"`
}

// Look is what looks for a slice of the authors at one relay have come to.
type Look struct {
	At   int64 `json:"at"`             // of the last one
	Next int64 `json:"next"`           // when the next one is due
	N    int   `json:"n,omitempty"`    // events that the last one brought: verified, and missing before
	All  int   `json:"all,omitempty"`  // that all have brought
	Dull int   `json:"dull,omitempty"` // looks in a row that have brought nothing
	// Whole says that the last one compared all there is: by NIP-77 that is proved.
	Whole bool `json:"whole,omitempty"`
	// Paged says that the relay speaks no NIP-77, or that to compare all costs much there,
	// since it lacks most of what we have. It has been read from Upto (0 is At) back to From
	// (0 is its beginning), and the next look reads back by Back seconds more (0 is 30 days).
	Paged bool  `json:"paged,omitempty"`
	From  int64 `json:"from,omitempty"`
	Upto  int64 `json:"upto,omitempty"`
	Back  int64 `json:"back,omitempty"`
	Read  int64 `json:"read,omitempty"` // when it was last read back to its beginning
}

// Brought is an event that a survey has brought.
type Brought struct {
	ID string `json:"id"`
	At int64  `json:"at"` // created_at
}
