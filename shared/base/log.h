/* log.h - one line a message, in Redis's log format: `pid:role DD Mon YYYY HH:MM:SS.mmm L text`.
 *
 * The role names the process: S supervisor, F front, 0..N worker of that shard, C snapshot child.
 * Lines go to stderr or to the log file in one write(2), so that lines of the processes of a pool
 * that share a file never mix. */
#ifndef REMUDA_BASE_LOG_H
#define REMUDA_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING };

/* role: short text, copied. file: path opened for append, or NULL or "" for stderr.
 * Returns 0, or -1 with errno if the file cannot be opened (then stderr stays). */
int log_open(const char *role, enum log_level level, const char *file);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_role(const char *role);
/* Where lines go now; stderr until log_open(). */
int log_fd(void);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)
#define log_verbose(...) log_write(LOG_VERBOSE, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)

#endif
