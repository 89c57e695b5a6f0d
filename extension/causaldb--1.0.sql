\echo Use "CREATE EXTENSION causaldb" to load this file. \quit
