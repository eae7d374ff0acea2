package console

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// sorting is by what a list is sorted; the heads of its columns lead to the other ways.
type sorting struct {
	// Sort is the name of a column, after "-" if the largest come first; "" is the order of
	// the bucket, those first that were not written for the longest time.
	Sort string `json:"sort,omitempty"`

	path   string
	params url.Values // the filters, which stay
}

// sortingOf reads ?sort=, one of the columns or "-" and one, and the filters that stay.
func sortingOf(r *http.Request, path string, filters, columns []string) (sorting, error) {
	s := sorting{Sort: r.URL.Query().Get("sort"), path: path, params: url.Values{}}
	if s.Sort != "" && !slices.Contains(columns, s.column()) {
		return s, &pageError{http.StatusBadRequest, "sort: want one of " + strings.Join(columns, ", ") + ", or - and one"}
	}
	for _, name := range filters {
		if value := r.URL.Query().Get(name); value != "" {
			s.params.Set(name, value)
		}
	}
	return s, nil
}

func (s sorting) column() string { return strings.TrimPrefix(s.Sort, "-") }

func (s sorting) down() bool { return strings.HasPrefix(s.Sort, "-") }

// compare turns a comparison round where the largest come first.
func (s sorting) compare(c int) int {
	if s.down() {
		return -c
	}
	return c
}

// Head is the head of a column by which a list can be sorted.
type Head struct {
	Href, Label string
	Aria        string // value of aria-sort
	Number      bool
}

// Head leads to the list sorted by a column, and if it is, to the other way round.
func (s sorting) Head(column, label string) Head { return s.head(column, label, false) }

// NumberHead is the head of a column of numbers, of which the largest come first.
func (s sorting) NumberHead(column, label string) Head { return s.head(column, label, true) }

func (s sorting) head(column, label string, number bool) Head {
	h, by := Head{Label: label, Number: number}, column
	if number {
		by = "-" + column
	}
	switch s.Sort {
	case column:
		h.Aria, by = "ascending", "-"+column
	case "-" + column:
		h.Aria, by = "descending", column
	}
	h.Href = s.path + "?" + s.with("sort", by).Encode()
	return h
}

// More is the query of the next page, but for its position.
func (s sorting) More() template.URL {
	params := s.params
	if s.Sort != "" {
		params = s.with("sort", s.Sort)
	}
	if len(params) == 0 {
		return ""
	}
	return template.URL("&" + params.Encode()) //nolint:gosec // it is encoded
}

func (s sorting) with(name, value string) url.Values {
	params := url.Values{name: {value}}
	for key, values := range s.params {
		params[key] = values
	}
	return params
}
