variable "workload" {
  description = "The workload's name."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9._-]{0,62}$", var.workload))
    error_message = "A workload's name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins with a letter or digit."
  }
}

variable "share" {
  description = "The output `share` of the module share."
  type = object({
    account  = string
    share    = string
    protocol = string
  })
}

variable "key_vault" {
  description = "The name of the Key Vault with the account's key. Needed for SMB; the machines' identity is \"Key Vault Secrets User\" on that secret."
  type        = string
  default     = ""
}

variable "key_vault_secret" {
  description = "The name of the secret."
  type        = string
  default     = "outlast-share-key"
}

variable "drop" {
  description = "What is dropped, as the words of outlast drop without --share and --workload: [\"postgres\", \"--database\", \"shop\"], or [\"files\", \"/srv/shop\"]. None of them is a secret: user data can be read on the machine."
  type        = list(string)
  validation {
    condition     = length(var.drop) > 0 && alltrue([for word in var.drop : !can(regex("['\n]", word))])
    error_message = "drop is at least one word, and none has a single quote or a line break."
  }
}

variable "schedule" {
  description = "When machines drop, as systemd's OnCalendar."
  type        = string
  default     = "*-*-* 02:00:00"
}

variable "after" {
  description = "Units that the final drop needs: they are stopped after it, such as [\"postgresql.service\"]."
  type        = list(string)
  default     = []
}

variable "deadline_minutes" {
  description = "How long the final drop may take. Azure waits up to 15 minutes for a machine of a scale set, and half a minute for a spot machine."
  type        = number
  default     = 10
  validation {
    condition     = var.deadline_minutes >= 1 && var.deadline_minutes <= 12
    error_message = "deadline_minutes is 1 to 12: Azure waits up to 15 minutes, and the answer needs some."
  }
}
