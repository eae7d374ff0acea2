package main

import (
	"context"
	"strings"
	"sync"
	"time"
)

// store is a bucket in memory.
type store[T any] struct {
	mu sync.Mutex
	of map[string]T
}

func newStore[T any]() *store[T] { return &store[T]{of: map[string]T{}} }

func (s *store[T]) Get(_ context.Context, key string) (T, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, found := s.of[key]
	return v, found, nil
}

func (s *store[T]) Update(_ context.Context, key string, change func(T, bool) (T, bool)) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, found := s.of[key]
	next, write := change(old, found)
	if !write {
		return old, nil
	}
	s.of[key] = next
	return next, nil
}

func (s *store[T]) Remove(_ context.Context, key string, decide func(T) bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, found := s.of[key]
	if found = found && decide(v); found {
		delete(s.of, key)
	}
	return found, nil
}

func (s *store[T]) Each(_ context.Context, pattern string, f func(string, T) error) error {
	before, rest, _ := strings.Cut(pattern, "*") // the wildcard is one token, the last but for what stands behind it
	dots, after := strings.Count(pattern, "."), strings.TrimLeft(rest, ".*")
	found := map[string]T{}
	s.mu.Lock()
	for key, v := range s.of {
		if strings.HasPrefix(key, before) && strings.HasSuffix(key, after) && strings.Count(key, ".") == dots {
			found[key] = v
		}
	}
	s.mu.Unlock()
	for key, v := range found {
		if err := f(key, v); err != nil {
			return err
		}
	}
	return nil
}

// Add puts a value where there is none; it stays.
func (s *store[T]) Add(_ context.Context, key string, v T, _ time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.of[key]; found {
		return false, nil
	}
	s.of[key] = v
	return true, nil
}
