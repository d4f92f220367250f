variable "workload" {
  description = "The workload's name, as the module share has it."
  type        = string
}

variable "share" {
  description = "The output `share` of the module share."
  type = object({
    file_system_id           = string
    file_system_arn          = string
    client_security_group_id = string
    workloads = map(object({
      access_point_id  = string
      access_point_arn = string
    }))
  })
}

variable "role_name" {
  description = "The role of the instances. It gets the right to write this workload's drops, and no other's."
  type        = string
}

variable "group_name" {
  description = "The name of the Auto Scaling group that ends the instances, as a plain word: their user data has it."
  type        = string
}

variable "group_id" {
  description = "The same from the group itself (aws_autoscaling_group.….id), so that the hook is made after the group. The group waits for the final drop."
  type        = string
}

variable "drop" {
  description = "What is dropped, as the words of outlast drop without --share and --workload: [\"postgres\", \"--database\", \"shop\"], or [\"files\", \"/srv/shop\"]. None of them is a secret: user data can be read on the instance."
  type        = list(string)
  validation {
    condition     = length(var.drop) > 0 && alltrue([for word in var.drop : !can(regex("['\n]", word))])
    error_message = "drop is at least one word, and none has a single quote or a line break."
  }
}

variable "schedule" {
  description = "When instances drop, as systemd's OnCalendar."
  type        = string
  default     = "*-*-* 02:00:00"
}

variable "after" {
  description = "Units that the final drop needs: they are stopped after it, such as [\"postgresql.service\"]."
  type        = list(string)
  default     = []
}

variable "deadline_minutes" {
  description = "How long the final drop may take."
  type        = number
  default     = 10
  validation {
    condition     = var.deadline_minutes >= 1 && var.deadline_minutes <= 110
    error_message = "deadline_minutes is 1 to 110: Auto Scaling waits up to two hours."
  }
}
